"""Registry classes for mmaction2."""

from kaizen_mm.extras import naming_extras
from kaizen_mm.openmmlab import compat

with naming_extras():
    import mmaction  # noqa: F401

    compat.provide_drn()
    from kaizen_mm.openmmlab.video import (  # noqa: F401
        backbones,
        chains,
        comparators,
        datasets,
        heads,
        in_memory,
        metrics,
        reading,
        transforms,
    )
