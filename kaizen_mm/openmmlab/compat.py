"""What this package changes in other packages when it is imported, beyond their registries: three functions.

Each is for a fault of the OpenMMLab releases on the package registry that no socket reaches. It says where the fault is
discussed and which versions have it, and leaves a release without it alone. docs/developers.md has them as a table.
:func:`undo` takes back what can be.
"""

import functools
import importlib.util
import os
import pickle
import sys
import types
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from kaizen_mm.checkpoint_files import read_checkpoint

_changes = ExitStack()
_done = set()


def undo() -> None:
    """Puts back what was replaced, for programs that want the other packages as they were; the stand-in for ``drn``
    stays, as what has been imported with it does."""
    _changes.close()
    _done.clear()


def _replace(owner: Any, name: str, value: Any) -> None:
    _changes.enter_context(mock.patch.object(owner, name, value))


def _once(function):
    """A function that does something the first time that it is called."""

    @functools.wraps(function)
    def call() -> None:
        if function.__name__ not in _done:
            _done.add(function.__name__)
            function()

    return call


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


@_once
def read_checkpoints_safely() -> None:
    """Reads mmengine's own checkpoints, and those of others, with ``weights_only=True``, and runs no text of theirs.

    mmengine 0.10.7 calls ``torch.load`` without arguments. From torch 2.6 on, its own checkpoints are then refused, as
    they hold log buffers and NumPy scalars (https://github.com/open-mmlab/mmengine/issues/1655). Downloads are
    unpickled without restriction in all versions. Here the harmless types are allowed by name, and anything else is
    refused with an error that names the file.

    ``mmengine.infer.BaseInferencer`` without ``model`` evaluates the config in a checkpoint, which is Python, and
    builds what it says, which can be any class at hand (``infer/infer.py``). Here it wants its config given.
    """
    import numpy as np
    from mmengine.infer import BaseInferencer
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import checkpoint

    def statistics_method(owner, name):
        """In place of the ``getattr`` with which a log buffer's own methods are pickled."""
        if owner is not HistoryBuffer or name not in HistoryBuffer()._statistics_methods:
            raise pickle.UnpicklingError(f'getattr({owner}, {name!r}) is not allowed')
        return getattr(owner, name)

    dtypes = {type(np.dtype(kind)) for kind in 'bBhHiIlLqQefd?'}
    allowed = [
        HistoryBuffer,
        (statistics_method, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        *dtypes,
        np.zeros(1).__reduce__()[0],
        np.float64(0).__reduce__()[0],
    ]
    _changes.enter_context(torch.serialization.safe_globals(allowed))

    loader = checkpoint.CheckpointLoader
    of_mmengine, load_any, init_model = loader._schemes[''], loader.load_checkpoint, BaseInferencer._init_model

    def load_from_local(filename, map_location=None):
        return read_checkpoint(filename, map_location)

    loader.register_scheme('', load_from_local, force=True)
    _changes.callback(loader.register_scheme, '', of_mmengine, force=True)

    @functools.wraps(load_any)
    def load_checkpoint(*args, **kwargs):
        # loaders of other schemes call torch.load themselves
        with mock.patch.object(torch, 'load', _load_whole):
            return _without_config(load_any(*args, **kwargs))

    @functools.wraps(init_model)
    def init(self, cfg, weights, device='cpu'):
        if not cfg:
            raise ValueError(
                f'model must be a config: the one in the checkpoint {weights} is code, which is not run. To use it, '
                'write meta["cfg"] of kaizen_mm.checkpoint_files.read_checkpoint(...) to a .py file and read it '
                'before you pass it on'
            )
        return init_model(self, cfg, weights, device)

    _replace(loader, 'load_checkpoint', staticmethod(load_checkpoint))
    _replace(checkpoint, 'load_url', functools.partial(checkpoint.load_url, weights_only=True))
    _replace(BaseInferencer, '_init_model', init)


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


@_once
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

    @functools.wraps(stock)
    def inference_model(model, *args, **kwargs):
        if not isinstance(model, ImageClassifier) or getattr(model, '_metainfo', None) is not None:
            return stock(model, *args, **kwargs)
        settings = {key: kwargs.pop(key) for key in ('pretrained', 'device', 'classes') if key in kwargs}
        return ImageClassificationInferencer(model, **settings)(*args, **kwargs)[0]

    for module in (mmpretrain, apis, sys.modules['mmpretrain.apis.model']):
        _replace(module, 'inference_model', inference_model)
