"""Registry classes for mmpretrain."""
from kaizen_mm.openmmlab.image import backbones, datasets, heads, hooks, metrics  # noqa: F401
