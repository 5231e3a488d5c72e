"""Registry classes for mmaction2 and mmpretrain, and what training with them needs.

Importing it registers what needs mmengine alone; :mod:`~kaizen_mm.openmmlab.video` registers with mmaction2,
:mod:`~kaizen_mm.openmmlab.image` with mmpretrain.
"""

from kaizen_mm.extras import naming_extras
from kaizen_mm.multiply_adds import count_with_mmengine

with naming_extras():
    from kaizen_mm.openmmlab import blocks, compat, log, named_configs, processes, training  # noqa: F401

compat.read_checkpoints_safely()
compat.keep_configs_out_of_checkpoints()
compat.write_whole_files()
compat.distribute_without_gpu()
named_configs.find_by_name()
count_with_mmengine()
processes.read_checkpoints_on_rank_zero()
training.training_hook.add_to_all_runners()
