"""Registry classes for mmpretrain."""

from kaizen_mm.extras import naming_extras
from kaizen_mm.openmmlab import compat

with naming_extras():
    import mmpretrain  # noqa: F401

    compat.infer_with_classifiers_of_configs()
    from kaizen_mm.openmmlab.image import backbones, cifar, comparators, datasets, heads, hooks, metrics  # noqa: F401
