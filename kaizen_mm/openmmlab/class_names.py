"""Names of classes of data sets, which checkpoints keep, and their comparison."""

import logging
from typing import Any, Callable, List, Mapping, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from mmengine.runner import BaseLoop

from kaizen_mm.data.class_names import check_same_classes

OTHER_CLASSES = 'A network is tested on the classes that it was trained with, in their order'
_TEACHES_OTHERS = 'To train a network for other classes: new_classifier=True of CheckpointCheckHook'


def names_or_warning(read: Callable[..., Optional[List[str]]], *args) -> Optional[List[str]]:
    """What a function of :mod:`kaizen_mm.data.class_names` reads; None with a warning where the file cannot be used.

    A training does not need them, so that this is no reason to stop it.
    """
    try:
        return read(*args)
    except ValueError as error:
        print_log(f'classes.txt is not used: {error}', logger='current', level=logging.WARNING)
        return None


def check_classes_of_data(runner) -> None:
    """Compares the classes of the data that a training validates and tests on with those that it trains on.

    Validation data are those that are loaded; test data, which come into use later, are looked at where their folders
    or lists are there.

    Raises:
        ValueError: They differ; both lists are shown.
    """
    trained = _metainfo(runner, 'train')
    if trained is None:
        return
    check_same_classes(trained, _metainfo(runner, 'val'), 'train_dataloader', 'val_dataloader')
    check_same_classes(trained, _of_test_data(runner.cfg), 'train_dataloader', 'test_dataloader')


def check_classes_of_checkpoint(runner, meta: Mapping[str, Any], new_classifier: bool = False) -> None:
    """Compares the classes that a checkpoint was trained with with those of the data it is tested or trained on.

    Args:
        runner: That has loaded it.
        meta: Of the checkpoint.
        new_classifier: Whether training for other classes is meant.

    Raises:
        ValueError: They differ; both lists are shown.
    """
    source, theirs = 'the checkpoint was trained with', meta.get('dataset_meta')
    trains = is_built(runner, 'train')
    if trains and new_classifier and not runner._resume:
        return
    for name in ('train',) if trains else ('val', 'test'):
        ours = _metainfo(runner, name)
        if not trains and not (theirs or {}).get('classes') and (ours or {}).get('classes'):
            print_log(
                f'the checkpoint does not tell the names of its classes; that they are those of {name}_dataloader is '
                'not checked',
                logger='current',
                level=logging.WARNING,
            )
        check_same_classes(theirs, ours, source, f'{name}_dataloader', _TEACHES_OTHERS if trains else OTHER_CLASSES)


def is_built(runner, name: str) -> bool:
    """Whether a runner has built its loop of this name, ``'train'``, ``'val'`` or ``'test'``, as it does to run it."""
    return isinstance(getattr(runner, f'_{name}_loop', None), BaseLoop)


def _metainfo(runner, name: str) -> Optional[Mapping[str, Any]]:
    """What the data set of a runner's loop says of itself; None of one that is not built."""
    if not is_built(runner, name):
        return None
    loop = getattr(runner, f'_{name}_loop')
    found = getattr(getattr(getattr(loop, 'dataloader', None), 'dataset', None), 'metainfo', None)
    return found if isinstance(found, Mapping) else None


def _of_test_data(cfg: Config) -> Optional[Mapping[str, Any]]:
    """What test data of files say of themselves, without a look at the files; None where that cannot be known yet."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    if dataset == ((cfg.get('val_dataloader') or {}).get('dataset')):
        return None
    with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        kind = registry.get(dataset['type']) if isinstance(dataset.get('type'), str) else None
        if not hasattr(kind, 'name_classes'):
            return None
        built = registry.build(dict(dataset, lazy_init=True))
    try:
        built.name_classes()
    except OSError:  # it may come later
        return None
    return built.metainfo
