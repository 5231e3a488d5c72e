r"""Writes a page about a trained network: what its iterates make of the test set of its config, or of a folder.

    kaizen-report kaizen_mm::kaizen_mfnet_digits.py work_dirs/kaizen_mfnet_digits/epoch_8.pth
    kaizen-report --timm kaizen_mfnet2d_n9 phase_two.pth --data photos/val \
        --model-kwargs num_classes=20 img_size=64 pool_padding=1

The page is one file of HTML. It has the accuracy of every iterate with its uncertainty, and what the iterations change.
It has accuracy and confusion of the classes, and the samples that a later iterate corrects or breaks.
"""

import argparse
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

from kaizen_mm.commands.arguments import (
    PREFIX,
    add_cfg_options,
    add_exit_at,
    add_model_kwargs,
    command,
    config_file,
    make_parser,
)
from kaizen_mm.commands.completion import config_names
from kaizen_mm.text import printable


def parse_args(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument(
        'files',
        nargs='+',
        metavar='FILE',
        help=f'config, a file or {PREFIX}NAME, and checkpoint; with --timm the checkpoint alone',
    ).completer = config_names
    parser.add_argument('--timm', metavar='NAME', help="the network's name in timm, in place of a config")
    parser.add_argument(
        '--data',
        type=Path,
        metavar='FOLDER',
        help='with --timm: the test set, a folder with one folder for each class, or a list of "file label" lines',
    )
    parser.add_argument(
        '--root', type=Path, metavar='FOLDER', help="of a list's files; default the folder that the list is in"
    )
    parser.add_argument('--out', type=Path, metavar='FILE', help='default report.html beside the checkpoint file')
    parser.add_argument(
        '--samples', type=int, default=24, metavar='N', help='corrected and broken ones to show; default 24'
    )
    add_exit_at(parser)
    parser.add_argument('--device', help='default a GPU where there is one')
    add_cfg_options(parser)
    add_model_kwargs(parser)
    args = parser.parse_intermixed_args(argv)
    args.error = parser.error
    wanted = 'the checkpoint' if args.timm else 'config and checkpoint'
    if len(args.files) != (1 if args.timm else 2):
        parser.error(f'{wanted} must be given, got {" ".join(args.files)}')
    args.checkpoint = args.files[-1]
    if args.timm and args.data is None:
        parser.error('--data must be given with --timm')
    if args.timm and args.cfg_options:
        parser.error('--cfg-options must be left out with --timm, which has --model-kwargs')
    if args.timm and isinstance(args.exit_at, Path):
        parser.error(f'--exit-at must be a number with --timm, got the file {args.exit_at}')
    if not args.timm and (args.data or args.root or args.model_kwargs):
        parser.error('--data, --root and --model-kwargs must be left out with a config, which has --cfg-options')
    if not args.timm:
        try:
            args.config = config_file(args.files[0])
        except argparse.ArgumentTypeError as error:
            parser.error(f'argument config: {error}')
    beside = Path('report.html') if args.checkpoint.startswith(PREFIX) else Path(args.checkpoint)
    args.out = args.out or beside.with_name('report.html')
    if args.out.suffix != '.html':
        parser.error(f'--out must name an .html file, got {args.out}')
    if args.out.is_dir():
        parser.error(f'--out must name a file, {args.out} is a folder')
    if args.samples < 0:
        parser.error(f'--samples must be an int >= 0, got {args.samples}')
    return args


def outcomes_of(args: argparse.Namespace) -> Tuple[Any, str, Dict[str, Any], Optional[float]]:
    """What the network makes of its test set, the title, what is said below it, and the threshold of early exit."""
    from rich.progress import track

    if args.timm:
        from kaizen_mm.inference.timm_networks import TimmPredictor
        from kaizen_mm.report.timm_evaluation import evaluate_files

        try:
            predictor = TimmPredictor(args.timm, args.checkpoint, device=args.device, **args.model_kwargs)
        except (RuntimeError, TypeError) as error:  # of a name or an argument that timm does not know
            raise ValueError(str(error)) from error

        def bar(predictions, total):
            return track(predictions, 'test set', total)

        outcomes = evaluate_files(predictor, args.data, args.root, bar)
        return outcomes, args.timm, dict(network=args.timm, data=args.data), args.exit_at
    from mmengine.logging import MMLogger

    from kaizen_mm.openmmlab.held_out import calibration_of
    from kaizen_mm.report.evaluation import evaluate

    MMLogger.get_instance('report', log_level='WARNING')
    chosen = None if args.exit_at is None else calibration_of(args.exit_at, args.checkpoint)
    outcomes = evaluate(
        args.config,
        args.checkpoint,
        args.cfg_options,
        args.device,
        partial(track, description='test set'),
        chosen.temperatures if chosen else (),
    )
    return outcomes, _title(Path(args.config), outcomes), dict(config=args.config), chosen.threshold if chosen else None


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse_args(argv)

    import torch

    from kaizen_mm.inference.output import check_outputs
    from kaizen_mm.report import write_report

    try:
        for file in [*args.files[-1:], *([] if args.timm else [args.config])]:
            if not file.startswith(PREFIX) and not Path(file).is_file():
                raise FileNotFoundError(f'no file {file}')
        check_outputs([], [args.out.parent])
        outcomes, title, facts, threshold = outcomes_of(args)
        if threshold is not None and outcomes.iterates == 1:
            raise ValueError('--exit-at needs a recurrent network, but this one has a single iterate')
        facts.update(
            {
                'checkpoint': args.checkpoint,
                'written': datetime.now().strftime('%Y-%m-%d %H:%M'),
                'PyTorch': torch.__version__,
            }
        )
        write_report(outcomes, args.out, title, facts, args.samples, threshold)
    except (OSError, ValueError) as error:
        args.error(printable(' '.join(str(error).split())))
    for number, (share, low, high) in enumerate(outcomes.accuracy(), start=1):
        print(f'iterate {number}: top-1 {100 * share:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})')
    if threshold is not None:
        (share, low, high), passes, _ = outcomes.exit_at(threshold)
        print(
            f'early exit at {threshold:.3g}: top-1 {100 * share:.1f} % (95 % interval {100 * low:.1f} to '
            f'{100 * high:.1f}), {passes:.2f} passes'
        )
    print(printable(args.out))


def _title(config: Path, outcomes) -> str:
    """What the page is about: the config, or the folder of one that is called config, as that of the demo."""
    name = config.resolve().parent.name if config.stem == 'config' else config.stem
    iterates = f'{outcomes.iterates} iterates' if outcomes.iterates > 1 else 'one iterate'
    return f'{name}: {iterates} on {len(outcomes.labels):,} test samples'
