"""Configs of this package by name: ``load_config('kaizen_mm::kaizen_mfnet_ucf101.py')``.

mmengine 0.10.7 knows the names of its own packages only (``MODULE2PACKAGE`` in ``config/utils.py``). The commands of
this package and its runner read configs here, in which ``_base_`` may be such a name too.
"""

import os
from pathlib import Path
from typing import Optional, Union
from unittest import mock

from mmengine.config import Config

from kaizen_mm.config_files import PREFIX, config_path

CLASSES = ('KAIZEN_IMAGE_CLASSES', 'KAIZEN_LIST_CLASSES')  # variables of the environment


def check_environment() -> None:
    """Raises:
    ValueError: A variable that configs read as a number of classes is no int of at least 1.
    """
    for name in CLASSES:
        value = os.environ.get(name)
        if value is not None and not (value.isascii() and value.isdigit() and int(value) > 0):
            raise ValueError(f'{name} in the environment must be the number of classes, an int >= 1, got {value!r}')


def set_by_environment(num_classes: Optional[int]) -> str:
    """For errors: the variable of the environment that has set a number of classes, in brackets, or nothing."""
    names = [name for name in CLASSES if os.environ.get(name) == str(num_classes)]
    return f' ({" or ".join(names)} in the environment)' if names else ''


def load_config(name: Union[str, Path], **kwargs) -> Config:
    """As mmengine's ``Config.fromfile``, which it leaves as it is.

    Args:
        name: A file, or ``kaizen_mm::`` and the path in the folder of configs. So are the names in ``_base_``.
        kwargs: Those of ``Config.fromfile``.

    Raises:
        FileNotFoundError: There is no such file or config; similar names are given.
        ValueError: A variable of the environment that configs read as a number of classes is none.
    """
    check_environment()
    of_mmengine = Config._get_cfg_path

    def base_path(cfg_path: str, filename: str) -> tuple:
        if cfg_path.startswith(PREFIX):
            return config_path(cfg_path), None  # without a scope: the types in it are those of its default_scope
        return of_mmengine(cfg_path, filename)

    # while this file is read
    with mock.patch.object(Config, '_get_cfg_path', staticmethod(base_path)):
        return Config.fromfile(config_path(str(name)) if str(name).startswith(PREFIX) else name, **kwargs)
