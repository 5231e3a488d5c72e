"""Registry classes for mmaction2 and mmpretrain, and what training with them needs."""
import importlib.util


def register() -> None:
    """Registers this package's names with whichever of mmengine and mmaction2 is installed."""
    if not _installed('mmengine'):
        return
    from kaizen_mm.openmmlab import compat
    compat.read_checkpoints_safely()
    compat.distribute_without_gpu()
    from kaizen_mm.openmmlab import hooks, phase_one, progress  # noqa: F401
    if _installed('mmaction') and _installed('mmcv'):  # mmaction2 imports mmcv but does not require it
        compat.provide_drn()
        from kaizen_mm.openmmlab import (backbones, blocks, datasets, heads,  # noqa: F401
                                         metrics, transforms)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
