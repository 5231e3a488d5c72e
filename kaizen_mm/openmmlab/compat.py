"""Work-arounds for faults of the OpenMMLab releases on the package registry.

One small function per fault, with where it is discussed and the versions it is for. Each
leaves a release without the fault alone. They are applied by ``import kaizen_mm``.
"""
import atexit
import functools
import importlib.util
import pickle
import sys
import types
from pathlib import Path
from unittest import mock

import torch


def provide_drn() -> None:
    """Lets ``import mmaction.models`` work where ``localizers/drn`` is missing.

    mmaction2 1.2.0 from the registry lacks that folder but imports it
    (https://github.com/open-mmlab/mmaction2/issues/2714). A stand-in module takes its place;
    building its ``DRN`` raises ImportError.
    """
    spec = importlib.util.find_spec('mmaction')
    folder = Path(spec.submodule_search_locations[0], 'models', 'localizers')
    name = 'mmaction.models.localizers.drn'
    if (folder / 'drn').exists() or name in sys.modules:
        return
    from mmaction.registry import MODELS

    @MODELS.register_module()
    class DRN:

        def __init__(self, *args, **kwargs):
            raise ImportError('the installed mmaction2 lacks mmaction/models/localizers/drn and so has '
                              'no DRN; install mmaction2 from its source repository to use it')

    package, module = types.ModuleType(name), types.ModuleType(f'{name}.drn')
    package.__path__ = []
    package.drn, module.DRN = module, DRN
    sys.modules.update({name: package, f'{name}.drn': module})


def read_checkpoints_safely() -> None:
    """Reads mmengine's own checkpoints, and those of others, with ``weights_only=True``.

    mmengine 0.10.7 calls ``torch.load`` without arguments: from torch 2.6 on, its own
    checkpoints are then refused, as they hold log buffers and NumPy scalars
    (https://github.com/open-mmlab/mmengine/issues/1655); downloads are unpickled without
    restriction in all versions. Here the harmless types are allowed by name, and anything
    else is refused with an error that names the file.
    """
    import numpy as np
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import checkpoint

    def statistics_method(owner, name):
        """In place of the ``getattr`` with which a log buffer's own methods are pickled."""
        if owner is not HistoryBuffer or name not in HistoryBuffer()._statistics_methods:
            raise pickle.UnpicklingError(f'getattr({owner}, {name!r}) is not allowed')
        return getattr(owner, name)

    dtypes = {type(np.dtype(kind)) for kind in 'bBhHiIlLqQefd?'}
    torch.serialization.add_safe_globals([
        HistoryBuffer, (statistics_method, 'builtins.getattr'), np.ndarray, np.dtype, *dtypes,
        np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    ])

    @checkpoint.CheckpointLoader.register_scheme(prefixes='', force=True)
    def load_from_local(filename, map_location=None):
        path = Path(filename).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f'no checkpoint file {path}')
        return load_weights(path, map_location)

    if isinstance(checkpoint.load_url, functools.partial):
        return
    checkpoint.load_url = functools.partial(checkpoint.load_url, weights_only=True)
    load_any = checkpoint.CheckpointLoader.load_checkpoint

    @functools.wraps(load_any)
    def load_checkpoint(*args, **kwargs):
        # loaders of other schemes call torch.load themselves
        with mock.patch.object(torch, 'load', functools.partial(torch.load, weights_only=True)):
            return load_any(*args, **kwargs)

    checkpoint.CheckpointLoader.load_checkpoint = staticmethod(load_checkpoint)


def load_weights(path, map_location=None):
    """:func:`torch.load` with ``weights_only=True`` and errors that name the file.

    Raises:
        ValueError: The file holds pickled code, or is cut off or no checkpoint at all.
    """
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f'checkpoint {path} is refused: it holds pickled objects other than tensors and '
                         f'plain values, and nothing of it was run; save its state dict alone. {error}'
                         ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f'checkpoint {path} cannot be read: it is cut off or no checkpoint ({error}); '
                         'use an earlier one') from error


def distribute_without_gpu() -> None:
    """Distributed training on CPUs: gloo where there is no accelerator.

    mmengine 0.10.7 calls ``torch.cuda.set_device`` in ``init_dist`` whatever the backend, and
    passes ``device_ids`` to the model wrapper (``dist/utils.py``, ``runner/runner.py``). It never ends the
    process group, and gloo's threads now and then abort a process that ends with it
    (https://github.com/pytorch/pytorch/pull/179291).
    """
    import mmengine.dist.utils as dist_utils
    from mmengine.device import get_device
    from mmengine.model import MMDistributedDataParallel

    if getattr(MMDistributedDataParallel, '_works_without_gpu', False):
        return

    def with_gloo(init):

        @functools.wraps(init)
        def init_dist(backend, *args, **kwargs):
            if get_device() != 'cpu':
                return init(backend, *args, **kwargs)
            atexit.register(_destroy_process_group)
            with mock.patch.object(torch.cuda, 'set_device', lambda device: None):
                return init('gloo', *args, **kwargs)

        return init_dist

    for name in ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm'):
        setattr(dist_utils, name, with_gloo(getattr(dist_utils, name)))

    wrap = MMDistributedDataParallel.__init__

    @functools.wraps(wrap)
    def init(self, module, *args, **kwargs):
        if get_device() == 'cpu':
            kwargs['device_ids'] = None
        wrap(self, module, *args, **kwargs)

    MMDistributedDataParallel.__init__ = init
    MMDistributedDataParallel._works_without_gpu = True


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
