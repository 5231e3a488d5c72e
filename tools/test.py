"""Tests a checkpoint; the video configs of this repository take ten clips per video."""
import argparse

from mmengine.config import DictAction

from kaizen_mm.lab import cli
from kaizen_mm.openmmlab.training.runner import build_runner


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder for the log with the metrics; default work_dirs/CONFIG_NAME')
    parser.add_argument('--dump', help='write the predictions to this .pkl file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='replace entries of the config; lists as "[a,b]", without white space')
    cli.add_launcher_arguments(parser)
    args = parser.parse_args()
    build_runner(cli.test_config(args)).test()


if __name__ == '__main__':
    main()
