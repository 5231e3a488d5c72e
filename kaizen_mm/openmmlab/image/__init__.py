"""Registry classes for mmpretrain."""
from kaizen_mm.openmmlab.image import backbones, cifar, comparators, datasets, heads, hooks, metrics  # noqa: F401
