"""The configs of this package by name: ``Config.fromfile('kaizen_mm::kaizen_mfnet_ucf101.py')``.

They lie where OpenMMLab's packages keep theirs, under ``.mim/configs`` of the installed package. mmengine 0.10.7 finds
those of its own packages only (``MODULE2PACKAGE`` in ``config/utils.py``), those in folders only, and in ``_base_`` and
``mmengine.hub.get_config`` only; here names that start with ``kaizen_mm::`` are found in all three places.
"""

import difflib
import functools
from pathlib import Path

import mmengine.hub
from mmengine.config import Config

PREFIX = 'kaizen_mm::'
CONFIGS = Path(__file__).resolve().parent.parent / '.mim' / 'configs'


def config_path(name: str) -> str:
    """The file of a config of this package.

    Args:
        name: ``kaizen_mm::`` and the path in the folder of configs, such as ``kaizen_mm::kaizen_mfnet_ucf101.py``.

    Raises:
        FileNotFoundError: There is none of that name.
    """
    relative = name.removeprefix(PREFIX)
    path = CONFIGS / relative
    if not path.is_file():
        names = [str(file.relative_to(CONFIGS)) for file in CONFIGS.rglob('*.py')]
        near = difflib.get_close_matches(relative, names, n=3)
        raise FileNotFoundError(
            f'kaizen_mm has no config {relative!r}'
            + (f'; near it: {", ".join(near)}' if near else f'; they are in {CONFIGS}')
        )
    return str(path)


def find_by_name() -> None:
    """Lets mmengine find them."""
    if hasattr(Config.fromfile, '__wrapped__'):
        return
    from_file, base_path, get_config = Config.fromfile, Config._get_cfg_path, mmengine.hub.get_config

    @functools.wraps(from_file)
    def fromfile(filename, *args, **kwargs):
        if str(filename).startswith(PREFIX):
            filename = config_path(filename)
        return from_file(filename, *args, **kwargs)

    @functools.wraps(base_path)
    def get_base_path(cfg_path, filename):
        if cfg_path.startswith(PREFIX):
            return config_path(cfg_path), None  # without a scope: the types in it are those of its default_scope
        return base_path(cfg_path, filename)

    @functools.wraps(get_config)
    def get_config_by_name(cfg_path, pretrained=False):
        if not cfg_path.startswith(PREFIX):
            return get_config(cfg_path, pretrained)
        if pretrained:
            raise ValueError(f'pretrained must be False: there are no published weights of {cfg_path}')
        return Config.fromfile(cfg_path)

    Config.fromfile, Config._get_cfg_path = staticmethod(fromfile), staticmethod(get_base_path)
    mmengine.hub.get_config = mmengine.hub.hub.get_config = get_config_by_name
