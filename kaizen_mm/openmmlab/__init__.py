"""Registry classes for mmaction2 and mmpretrain, and what training with them needs.

Importing it registers what needs mmengine alone; :mod:`~kaizen_mm.openmmlab.video` registers with mmaction2,
:mod:`~kaizen_mm.openmmlab.image` with mmpretrain. Beyond their registries nothing of these packages is changed but what
:mod:`~kaizen_mm.openmmlab.compat` lists.
"""

from kaizen_mm.extras import naming_extras
from kaizen_mm.multiply_adds import count_with_mmengine

with naming_extras():
    from kaizen_mm.openmmlab import blocks, compat, early_exit, log, named_weights, processes, runner, training  # noqa: F401

compat.read_checkpoints_safely()
count_with_mmengine()
