"""What of a config decides the weights that a training ends with, and how two configs differ in it.

Logging, paths of outputs, data workers, validation and tests do not; all else does. Where training is
steered by validation (early stopping, a rate that follows a metric), validation does as well.
"""

import hashlib
import importlib.util
import inspect
import json
import os
from pathlib import Path
from typing import Any, Dict, List

from mmengine.config import Config
from mmengine.registry import HOOKS

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.layers.adapters import adapter_arguments
from kaizen_mm.models import RecurrentNetwork
from kaizen_mm.openmmlab.training.contents import PREFIX, add_contents

_TRAINING = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'randomness',
    'default_hooks',
    'custom_hooks',
    'load_from',
    'phase_one',
)
_VALIDATION = ('val_dataloader', 'val_evaluator', 'val_cfg')
_TEST = ('test_dataloader', 'test_evaluator', 'test_cfg')
_VALIDATING = ('val_interval', 'val_begin', 'dynamic_intervals')  # of train_cfg
_LOADING = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')  # of a data loader
_LOGGING_HOOKS = (
    'RuntimeInfoHook',
    'IterTimerHook',
    'LoggerHook',
    'CheckpointHook',
    'VisualizationHook',
    'ProfilerHook',
    'EmptyCacheHook',
)
STARTS = ('load_from', f'{PREFIX}load_from')
_LENGTHS = ('train_cfg.max_epochs', 'train_cfg.max_iters')

# Our backbones, by the name of the plain one, and what is of no effect in them where there is one iteration
_BACKBONES = {
    'RecurrentMFNet2d': 'MFNet2d',
    'RecurrentMFNet3d': 'MFNet3d',
    'MFNet2d': 'MFNet2d',
    'MFNet3d': 'MFNet3d',
    'MnistCNN': 'MnistCNN',
    'AdaptiveRecurrentBackbone': 'AdaptiveRecurrentBackbone',
}
_OF_RECURRENCE = {
    name
    for owner in (AdaptiveRecurrentBlock, RecurrentNetwork)
    for name in inspect.signature(owner.__init__).parameters
} | {'input_size', 'input_shape', 'input_batch', *adapter_arguments()}
_OF_KAIZEN_LOSS = {'gamma_first', 'gamma_others', 'gammas', 'kaizen_weight', 'hinge'}


def training_settings(cfg: Config) -> Dict[str, Any]:
    """What decides the weights, by dotted keys; values are those that JSON has.

    Files and folders that the training starts from count with what is in them
    (:mod:`kaizen_mm.openmmlab.training.contents`), and paths that exist are absolute.
    """
    return _settings(cfg, _TRAINING + (_VALIDATION if _steered_by_validation(cfg) else ()))


def test_settings(cfg: Config) -> Dict[str, Any]:
    """What decides the result of a test, beside the checkpoint."""
    return _settings(cfg, ('model', 'data_preprocessor', *_TEST))


def without_contents(settings: Dict[str, Any]) -> Dict[str, Any]:
    """The settings without what is in files and folders, as they were before that counted."""
    return {key: value for key, value in settings.items() if not _is_content(key)}


def _is_content(key: str) -> bool:
    return key.rpartition('.')[2].startswith(PREFIX)


def fingerprint(settings: Dict[str, Any]) -> str:
    """A short name of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def differences(old: Dict[str, Any], new: Dict[str, Any], resumed: bool = False) -> List[str]:
    """A line for each key whose value differs.

    Args:
        old, new: Settings.
        resumed: Whether a training of the old ones may go on with the new ones: it may become longer, and what it
            was started from plays no part any more. Default False.
    """

    def differs(key):
        before, after = old.get(key), new.get(key)
        if _is_content(key) and None in (before, after):
            return False  # not known of what an earlier version has trained; and a path that is gone is another key
        if resumed and key in STARTS:
            return False
        if resumed and key in _LENGTHS and isinstance(before, int) and isinstance(after, int) and after > before:
            return False
        return before != after

    def shown(settings, key):
        return repr(settings[key]) if key in settings else 'not set'

    return [f'{key}: {shown(old, key)} there, {shown(new, key)} here' for key in sorted({*old, *new}) if differs(key)]


def lasts_longer(old: Dict[str, Any], new: Dict[str, Any]) -> bool:
    """Whether the new settings train for more epochs or iterations."""
    return any(old.get(key) is not None and new.get(key) is not None and new[key] > old[key] for key in _LENGTHS)


def _steered_by_validation(cfg: Config) -> bool:
    schedules = json.dumps(_plain([cfg.get('param_scheduler'), cfg.get('custom_hooks'), cfg.get('default_hooks')]))
    return 'EarlyStopping' in schedules or 'ReduceOnPlateau' in schedules


def _settings(cfg, keys) -> Dict[str, Any]:
    if importlib.util.find_spec(str(cfg.get('default_scope'))) is not None:
        importlib.import_module(cfg.default_scope)  # hooks are registered with the library that they are for
    chosen = {key: _plain(cfg.get(key)) for key in keys}
    if chosen.get('phase_one'):
        chosen['phase_one'] = {key: _plain(chosen['phase_one'].get(key)) for key in _TRAINING if key != 'phase_one'}
    for part in (chosen, chosen.get('phase_one') or {}):
        _leave_out_what_is_of_no_effect(part, validation='val_dataloader' in keys)
    flat = {}
    _flatten(chosen, '', flat)
    return flat


def _plain(value) -> Any:
    """Configs as dicts, lists and values that JSON has."""
    if isinstance(value, Config):
        value = value.to_dict()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return getattr(value, '__qualname__', str(value))


def _leave_out_what_is_of_no_effect(part: dict, validation: bool) -> None:
    if not (part.get('auto_scale_lr') or {}).get('enable'):
        part.pop('auto_scale_lr', None)
    for key in _VALIDATING if not validation else ():
        (part.get('train_cfg') or {}).pop(key, None)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = part.get(key) or {}
        for name in _LOADING:
            loader.pop(name, None)
        _identify_data(loader)
    randomness = part.get('randomness') or {}
    part['randomness'] = {key: value for key, value in randomness.items() if key == 'seed' or value}
    hooks = part.get('default_hooks') or {}
    part['default_hooks'] = {name: hook for name, hook in hooks.items() if hook and not _only_watches(hook)}
    part['custom_hooks'] = [hook for hook in part.get('custom_hooks') or [] if not _only_watches(hook)]
    model = part.get('model') or {}
    if _iterations(model) == 1:
        _leave_out_recurrence(model)
    add_contents(part)


def _iterations(model: dict) -> int:
    backbone = model.get('backbone')
    if not isinstance(backbone, dict):
        return 1
    default = 2 if str(backbone.get('type')).endswith('AdaptiveRecurrentBackbone') else 1
    return backbone.get('num_iterations') or default


def _only_watches(hook: dict) -> bool:
    """Whether a hook has no part in the weights; of this package that is all but those that seed."""
    name = str(hook.get('type')).rsplit('.', 1)[-1]
    owner = HOOKS.get(name)
    if owner is not None and owner.__module__.startswith('kaizen_mm.'):
        return not getattr(owner, 'changes_weights', False)
    return name in _LOGGING_HOOKS


def _leave_out_recurrence(model) -> None:
    for part in model.values() if isinstance(model, dict) else model:
        if isinstance(part, (dict, list)):
            _leave_out_recurrence(part)
    name = str(model.get('type')).rsplit('.', 1)[-1] if isinstance(model, dict) else None
    if name in _BACKBONES:
        model['type'] = _BACKBONES[name]
    for key in _OF_RECURRENCE if name in _BACKBONES else _OF_KAIZEN_LOSS if name == 'KaizenLoss' else ():
        model.pop(key, None)
    if name == 'AdaptiveRecurrentBackbone' and model.keys() == {'type', 'backbone'}:  # it is the backbone in it
        plain = model.pop('backbone')
        model.clear()
        model.update(plain)


def _identify_data(dataset) -> None:
    """Makes paths absolute, and adds a digest of each list of samples."""
    items = list(dataset.items() if isinstance(dataset, dict) else enumerate(dataset))
    for key, value in items:
        if isinstance(value, (dict, list)):
            _identify_data(value)
        elif isinstance(value, str) and os.sep in value and os.path.exists(value):
            dataset[key] = os.path.realpath(value)
        if key == 'ann_file' and isinstance(value, str):
            path = Path(dataset.get('data_root') or '', value)
            if path.is_file():
                dataset['content of ann_file'] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _flatten(value, key: str, flat: dict) -> None:
    """None and empty entries are as if they were not there."""
    if isinstance(value, dict):
        for name, item in value.items():
            _flatten(item, f'{key}.{name}' if key else name, flat)
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for i, item in enumerate(value):
            _flatten(item, f'{key}.{i}', flat)
    elif value is not None and value != []:
        flat[key] = value
