"""Registry classes for mmpretrain."""
from kaizen_mm.openmmlab.image import backbones, cifar, datasets, heads, hooks, metrics  # noqa: F401
