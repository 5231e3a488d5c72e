"""Trains a recognizer or a classifier, in both phases where the config asks for it.

For example:

    kaizen-train kaizen_mm::kaizen_mfnet_digits.py --seed 1
"""

from contextlib import nullcontext
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import (
    PREFIX,
    add_cfg_options,
    add_launcher_arguments,
    command,
    config_file,
    make_parser,
)
from kaizen_mm.folder_lock import locked_folder


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
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
    add_launcher_arguments(parser)
    args = parser.parse_args(argv)

    from kaizen_mm.openmmlab.advice import AdviceHook
    from kaizen_mm.openmmlab.command_line import train_config
    from kaizen_mm.openmmlab.log.progress import ProgressBarHook
    from kaizen_mm.openmmlab.training.estimate import EstimateHook
    from kaizen_mm.openmmlab.training.runner import build_runner
    from kaizen_mm.openmmlab.training.verdict import VerdictHook

    cfg = train_config(args)
    # of several processes that one launcher starts the runner has the first take the lock
    with locked_folder(cfg.work_dir) if cfg.launcher == 'none' else nullcontext():
        runner = build_runner(cfg)
        for hook in (AdviceHook(), EstimateHook(), ProgressBarHook(terminal_only=True), VerdictHook()):
            runner.register_hook(hook)
        runner.train()
