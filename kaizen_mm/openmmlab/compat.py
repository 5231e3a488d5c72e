"""Work-arounds for faults of the OpenMMLab releases on the package registry.

One small function per fault, with where it is discussed and the versions it is for. Each
leaves a release without the fault alone. They are applied by ``import kaizen_mm``.
"""

import atexit
import functools
import importlib.util
import os
import pickle
import sys
import types
from pathlib import Path
from unittest import mock

import torch
from mmengine.dist import is_main_process

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.files import write_bytes


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
            raise ImportError(
                'the installed mmaction2 lacks mmaction/models/localizers/drn and so has '
                'no DRN; install mmaction2 from its source repository to use it'
            )

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
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (statistics_method, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            *dtypes,
            np.zeros(1).__reduce__()[0],
            np.float64(0).__reduce__()[0],
        ]
    )

    @checkpoint.CheckpointLoader.register_scheme(prefixes='', force=True)
    def load_from_local(filename, map_location=None):
        return read_checkpoint(filename, map_location)

    if isinstance(checkpoint.load_url, functools.partial):
        return
    checkpoint.load_url = functools.partial(checkpoint.load_url, weights_only=True)
    load_any = checkpoint.CheckpointLoader.load_checkpoint

    @functools.wraps(load_any)
    def load_checkpoint(*args, **kwargs):
        # loaders of other schemes call torch.load themselves
        with mock.patch.object(torch, 'load', _load_whole):
            return _without_config(load_any(*args, **kwargs))

    checkpoint.CheckpointLoader.load_checkpoint = staticmethod(load_checkpoint)


def _load_whole(file, map_location=None, **kwargs):
    """In place of :func:`torch.load`: files are verified, and nothing is unpickled without restriction."""
    if isinstance(file, (str, os.PathLike)):
        return read_checkpoint(file, map_location)
    return torch.serialization.load(file, map_location=map_location, weights_only=True)


def _without_config(checkpoint):
    """A checkpoint without ``meta['config']``, text of MMCV's time that ``Runner.resume`` would evaluate to read
    ``gpu_ids`` from it."""
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return checkpoint


def keep_configs_out_of_checkpoints() -> None:
    """Inferencers are given their config: none is made of the text that a checkpoint holds.

    ``mmengine.infer.BaseInferencer`` without ``model`` evaluates the text, which is Python, and
    builds what it says, which can be any class at hand (mmengine 0.10.7, ``infer/infer.py``).
    """
    from mmengine.infer import BaseInferencer

    if hasattr(BaseInferencer._init_model, '__wrapped__'):
        return
    init_model = BaseInferencer._init_model

    @functools.wraps(init_model)
    def init(self, cfg, weights, device='cpu'):
        if not cfg:
            raise ValueError(
                f'model must be a config: the one in the checkpoint {weights} is code, which is not run. To use it, '
                'write meta["cfg"] of kaizen_mm.checkpoint_files.read_checkpoint(...) to a .py file and read it '
                'before you pass it on'
            )
        return init_model(self, cfg, weights, device)

    BaseInferencer._init_model = init


def write_whole_files() -> None:
    """What mmengine writes through its file backend, and ``last_checkpoint``, is written whole or not at all.

    mmengine 0.10.7 truncates files before it writes them, removes the oldest checkpoint before it writes the new one
    (``hooks/checkpoint_hook.py``), and removes the best checkpoint by a path that a checkpoint gives, which may
    lie outside the folder of this training.
    """
    from mmengine.fileio import LocalBackend
    from mmengine.hooks import CheckpointHook

    if hasattr(CheckpointHook.before_train, '__wrapped__'):
        return

    def put(self, obj, filepath):
        write_bytes(Path(filepath), obj)

    def put_text(self, obj, filepath, encoding='utf-8'):
        self.put(obj.encode(encoding), filepath)

    LocalBackend.put, LocalBackend.put_text = put, put_text
    before_train = CheckpointHook.before_train

    @functools.wraps(before_train)
    def before(self, runner):
        # the numbers of the checkpoints to be removed come from the one that was resumed from, and from no other run
        if not runner._resume:
            runner.message_hub.runtime_info.pop('keep_ckpt_ids', None)
        if 'keep_ckpt_ids' in runner.message_hub.runtime_info:
            ids = runner.message_hub.get_info('keep_ckpt_ids')
            runner.message_hub.update_info('keep_ckpt_ids', [i for i in ids if isinstance(i, int)])
        before_train(self, runner)
        if self.save_best:
            for info in [key for key in runner.message_hub.runtime_info if key.startswith('best_ckpt')]:
                _keep_to_folder(self, runner, info)

    CheckpointHook.before_train, CheckpointHook._save_checkpoint_with_step = before, _save_then_remove


def _keep_to_folder(hook, runner, info: str) -> None:
    """The best checkpoint of an earlier run is looked for, and later removed, in the folder of this one only."""
    path = runner.message_hub.get_info(info)
    path = path and hook.file_backend.join_path(hook.out_dir, os.path.basename(path))
    runner.message_hub.update_info(info, path)
    if info == 'best_ckpt' and hasattr(hook, 'best_ckpt_path'):
        hook.best_ckpt_path = path
    elif hasattr(hook, 'best_ckpt_path_dict'):
        hook.best_ckpt_path_dict[info[len('best_ckpt_') :]] = path


def _save_then_remove(self, runner, step, meta) -> None:
    """In place of ``CheckpointHook._save_checkpoint_with_step``."""
    outdated = None
    if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:  # the best one is saved in the same step
        if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
            outdated = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
        self.keep_ckpt_ids.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
    name = self.filename_tmpl.format(step)
    self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
    runner.message_hub.update_info('last_ckpt', self.last_ckpt)
    runner.save_checkpoint(
        self.out_dir,
        name,
        self.file_client_args,
        save_optimizer=self.save_optimizer,
        save_param_scheduler=self.save_param_scheduler,
        meta=meta,
        by_epoch=self.by_epoch,
        backend_args=self.backend_args,
        **self.args,
    )
    if not is_main_process():
        return
    write_bytes(Path(runner.work_dir, 'last_checkpoint'), str(self.last_ckpt).encode())
    if outdated in (None, name):
        return
    path = self.file_backend.join_path(self.out_dir, outdated)
    if self.file_backend.isfile(path):
        self.file_backend.remove(path)
    elif self.file_backend.isdir(path):
        self.file_backend.rmtree(path)


def infer_with_classifiers_of_configs() -> None:
    """``mmpretrain.inference_model`` with a classifier that was built from a config.

    In mmpretrain 1.2.0 it knows the task of models of its own index alone, and says of all others that there is no
    inferencer for them (``apis/model.py``).
    """
    import mmpretrain
    from mmpretrain import apis
    from mmpretrain.apis import ImageClassificationInferencer
    from mmpretrain.models import ImageClassifier

    stock = apis.inference_model
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def inference_model(model, *args, **kwargs):
        if not isinstance(model, ImageClassifier) or getattr(model, '_metainfo', None) is not None:
            return stock(model, *args, **kwargs)
        settings = {key: kwargs.pop(key) for key in ('pretrained', 'device', 'classes') if key in kwargs}
        return ImageClassificationInferencer(model, **settings)(*args, **kwargs)[0]

    for module in (mmpretrain, apis, sys.modules['mmpretrain.apis.model']):
        module.inference_model = inference_model


def distribute_without_gpu() -> None:
    """Distributed training on CPUs: gloo where there is no accelerator.

    mmengine 0.10.7 calls ``torch.cuda.set_device`` in ``init_dist`` whatever the backend, and passes ``device_ids`` to
    the model wrapper (``dist/utils.py``, ``runner/runner.py``). It never ends the process group, and gloo's threads now
    and then abort a process that ends with it (https://github.com/pytorch/pytorch/pull/179291).
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
