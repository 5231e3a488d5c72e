"""Adaptive recurrent lateral connections for mmaction2, mmpretrain and timm.

Importing the package registers its names with those libraries, with each when it is imported
(:mod:`kaizen_mm.registration`); the core (``kaizen_mm.layers``, ``kaizen_mm.losses``, ``kaizen_mm.models``) needs torch
alone.
"""

from kaizen_mm.registration import register

__version__ = '0.1.0'

register()
