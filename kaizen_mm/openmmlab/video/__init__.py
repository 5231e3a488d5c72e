"""Registry classes for mmaction2."""
from kaizen_mm.openmmlab.video import backbones, datasets, heads, metrics, reading, transforms  # noqa: F401
