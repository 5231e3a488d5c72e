"""Makes any named block of any network adaptive recurrent; needs torch alone."""

from kaizen_mm.surgery.network import RecurrentNetwork

__all__ = ['RecurrentNetwork']
