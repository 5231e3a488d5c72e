"""Tests a checkpoint; the video configs of this repository take ten clips per video."""

import argparse
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import PREFIX, add_cfg_options, config_file
from kaizen_mm.lab import cli
from kaizen_mm.openmmlab.training.runner import build_runner


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=config_file, help=f'config, a file or {PREFIX}NAME')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder for the log with the metrics; default work_dirs/CONFIG_NAME')
    parser.add_argument('--dump', help='write the predictions to this .pkl file')
    add_cfg_options(parser)
    cli.add_launcher_arguments(parser)
    args = parser.parse_args(argv)
    build_runner(cli.test_config(args)).test()
