"""Arguments that several commands have."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from kaizen_mm.openmmlab.named_configs import CONFIGS, PREFIX, config_path


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be an int >= 1, got {text}')
    return value


def config_file(text: str) -> str:
    """A config: a file, or ``kaizen_mm::NAME`` for one of this package."""
    if text.startswith(PREFIX):
        try:
            return config_path(text)
        except FileNotFoundError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    if not Path(text).exists() and (CONFIGS / Path(text).name).is_file():
        raise argparse.ArgumentTypeError(
            f'no file {text}; the config that the package brings is {PREFIX}{Path(text).name}'
        )
    return text


def add_cfg_options(parser: argparse.ArgumentParser, what: str = 'the config') -> None:
    """Adds ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help=f'replace entries of {what}; lists as "[a,b]", without white space',
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    """Adds what names a trained network: ``--config`` or ``--timm``, ``--checkpoint``, and their options."""
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument('--config', type=config_file, help=f'config of the network, a file or {PREFIX}NAME')
    network.add_argument('--timm', metavar='NAME', help='or its name in timm')
    parser.add_argument('--checkpoint', required=True, help='its weights')
    add_cfg_options(parser)
    parser.add_argument(
        '--model-kwargs',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='arguments of the network in timm',
    )
