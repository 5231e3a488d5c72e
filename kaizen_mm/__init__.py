"""Adaptive recurrent lateral connections for mmaction2, mmpretrain and timm.

Importing the package registers its names with whichever of those is installed; the core
(``kaizen_mm.layers``, ``kaizen_mm.losses``, ``kaizen_mm.models``) needs torch alone.
"""
import importlib.util

from kaizen_mm import multiply_adds, openmmlab

__version__ = '0.1.0'

if importlib.util.find_spec('timm') is not None:
    from kaizen_mm import timm_models  # noqa: F401
openmmlab.register()
multiply_adds.count_with_fvcore()
