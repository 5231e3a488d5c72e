"""Trains a recognizer or a classifier, in both phases where the config asks for it."""

import argparse
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import PREFIX, add_cfg_options, config_file
from kaizen_mm.lab import cli
from kaizen_mm.openmmlab.training.runner import build_runner


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=config_file, help=f'config, a file or {PREFIX}NAME')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default work_dirs/CONFIG_NAME')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint, or without one from the latest in the work directory, in '
        'whichever phase was interrupted',
    )
    parser.add_argument('--amp', action='store_true', help='train in automatic mixed precision, in both phases')
    parser.add_argument('--no-validate', action='store_true', help='do not validate during training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size of all processes over the base batch size',
    )
    parser.add_argument('--seed', type=int, help='random seed; default that of the config')
    parser.add_argument('--diff-rank-seed', action='store_true', help='another seed for each process')
    parser.add_argument('--deterministic', action='store_true', help='use deterministic algorithms only')
    add_cfg_options(parser)
    cli.add_launcher_arguments(parser)
    args = parser.parse_args(argv)
    build_runner(cli.train_config(args)).train()
