"""Registry classes for mmaction2 and mmpretrain, and what training with them needs."""
import importlib.util

from kaizen_mm.multiply_adds import count_with_mmengine


def register() -> None:
    """Registers this package's names with whichever of mmengine, mmaction2 and mmpretrain is installed."""
    if not _installed('mmengine'):
        return
    from kaizen_mm.openmmlab import compat
    compat.read_checkpoints_safely()
    compat.keep_configs_out_of_checkpoints()
    compat.write_whole_files()
    compat.distribute_without_gpu()
    count_with_mmengine()
    from kaizen_mm.openmmlab import blocks, log, processes, training  # noqa: F401
    processes.read_checkpoints_on_rank_zero()
    training.training_hook.add_to_all_runners()
    if not _installed('mmcv'):  # mmaction2 and mmpretrain import mmcv but do not require it
        return
    if _installed('mmaction'):
        compat.provide_drn()
        from kaizen_mm.openmmlab import video  # noqa: F401
    if _installed('mmpretrain'):
        compat.infer_with_classifiers_of_configs()
        from kaizen_mm.openmmlab import image  # noqa: F401


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
