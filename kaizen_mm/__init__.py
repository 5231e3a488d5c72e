"""Adaptive recurrent lateral connections for mmaction2, mmpretrain and timm.

Importing the package registers its names with those libraries, with each when it is imported
(:mod:`kaizen_mm.registration`); the core (``kaizen_mm.layers``, ``kaizen_mm.losses``, ``kaizen_mm.models``,
``kaizen_mm.surgery``) needs torch alone.
"""

import sys

from kaizen_mm.former_places import FormerPlaces
from kaizen_mm.registration import register

__version__ = '0.1.0'

sys.meta_path.insert(0, FormerPlaces())
register()


def __getattr__(name):
    if name == 'recurrent':  # torch is imported when it is asked for
        from kaizen_mm.surgery.one_call import recurrent

        return recurrent
    if name in ('load_from_hf', 'save_for_hf'):  # and timm
        from kaizen_mm.timm_names import hub

        return getattr(hub, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
