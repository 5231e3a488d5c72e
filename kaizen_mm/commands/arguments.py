"""Arguments that several commands have."""

import argparse
import math
from pathlib import Path
from typing import Optional

from kaizen_mm.commands.completion import CompletedParser, config_names
from kaizen_mm.commands.errors import command as command
from kaizen_mm.commands.options import KeyValues
from kaizen_mm.config_files import CONFIGS, PREFIX, config_path


def make_parser(doc: Optional[str]) -> argparse.ArgumentParser:
    """A parser that describes a command by the text of its module, as it stands there."""
    return CompletedParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be an int >= 1, got {text}')
    return value


def duration(text: str) -> float:
    """Seconds: a finite number of at least 0."""
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f'must be a finite number of seconds >= 0, got {text}')
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'must be a number from 0 to 1, got {text}')
    return value


def threshold_or_file(text: str) -> 'float | Path':
    """A threshold of early exit, or the file of one."""
    try:
        float(text)
    except ValueError as error:
        if not Path(text).is_file():
            raise argparse.ArgumentTypeError(
                f'must be a number from 0 to 1, or a file that kaizen-calibrate wrote, got {text}'
            ) from error
        return Path(text)
    return share(text)


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


config_file.completer = config_names


def add_cfg_options(parser: argparse.ArgumentParser, what: str = 'the config') -> None:
    """Adds ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValues,
        default={},
        metavar='KEY=VALUE',
        help=f'replace entries of {what}; lists as "[a,b]"',
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    """Adds what names a trained network: ``--config`` or ``--timm``, ``--checkpoint``, and their options."""
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument('--config', type=config_file, help=f'config of the network, a file or {PREFIX}NAME')
    network.add_argument('--timm', metavar='NAME', help='or its name in timm')
    parser.add_argument('--checkpoint', required=True, help='its weights')
    add_cfg_options(parser)
    add_model_kwargs(parser)


def add_model_kwargs(parser: argparse.ArgumentParser) -> None:
    """Adds ``--model-kwargs``."""
    parser.add_argument(
        '--model-kwargs',
        nargs='+',
        action=KeyValues,
        default={},
        metavar='KEY=VALUE',
        help='arguments of the network in timm',
    )


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds ``--launcher`` and the ``--local_rank`` that launchers pass."""
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='how the processes were started'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_exit_at(parser: argparse.ArgumentParser) -> None:
    """Adds ``--exit-at``."""
    parser.add_argument(
        '--exit-at',
        type=threshold_or_file,
        metavar='P',
        help='samples whose largest probability reaches this, from 0 to 1, leave before the last iterate; or the file '
        'of a threshold and temperatures that kaizen-calibrate wrote',
    )


def quiet_mmengine(level: str = 'WARNING') -> None:
    """Lets mmengine, where it is installed, say nothing below that level."""
    from mmengine.logging import MMLogger

    MMLogger.get_current_instance().setLevel(level)
