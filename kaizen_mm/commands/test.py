"""Tests a checkpoint; the video configs of this repository take ten clips per video.

For example:

    kaizen-test kaizen_mm::kaizen_mfnet_digits.py work_dirs/kaizen_mfnet_digits/epoch_8.pth
"""

from typing import Optional, Sequence

from kaizen_mm.commands.arguments import (
    PREFIX,
    add_cfg_options,
    add_exit_at,
    add_launcher_arguments,
    command,
    config_file,
    make_parser,
)


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('config', type=config_file, help=f'config, a file or {PREFIX}NAME')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder for the log with the metrics; default work_dirs/CONFIG_NAME')
    parser.add_argument('--dump', help='write the predictions to this .pkl file')
    parser.add_argument(
        '--tta',
        action='store_true',
        help="average the scores of several views of an image: those of the config's tta_pipeline, else the image and "
        'its mirror image',
    )
    add_exit_at(parser)
    add_cfg_options(parser)
    add_launcher_arguments(parser)
    args = parser.parse_args(argv)

    from kaizen_mm.openmmlab.command_line import test_config
    from kaizen_mm.openmmlab.log.progress import ProgressBarHook
    from kaizen_mm.openmmlab.training.runner import build_runner
    from kaizen_mm.openmmlab.training.verdict import VerdictHook

    runner = build_runner(test_config(args))
    runner.register_hook(ProgressBarHook(terminal_only=True))
    runner.register_hook(VerdictHook())
    runner.test()
