r"""Classifies images or videos: the top classes of each iterate, as a table, as files, drawn into copies.

    kaizen-predict photos/ 'more/*.jpg' --config CONFIG --checkpoint CHECKPOINT
    kaizen-predict clip.mp4 --config CONFIG --checkpoint CHECKPOINT --out result.json result.csv --annotate FOLDER
    kaizen-predict photo.jpg --timm kaizen_mfnet2d_n9 --checkpoint phase_two.pth \
        --model-kwargs num_classes=20 img_size=64 pool_padding=1

Exit status: 0; 1 where an input could not be used (the others are done); 2 for an error.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Optional, Sequence

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track

from kaizen_mm.commands.arguments import add_network, positive
from kaizen_mm.inference import Prediction, Predictor
from kaizen_mm.inference.output import check_outputs, table, write

BAR = 5  # inputs from which on a progress bar is shown


def parse_args(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help='files, folders, glob patterns')
    add_network(parser)
    parser.add_argument(
        '--labels',
        metavar='FILE',
        help='one class name a line; default what the checkpoint or the config knows, or else numbers',
    )
    parser.add_argument('--top', type=positive, default=3, metavar='K', help='classes of each iterate; default 3')
    parser.add_argument('--out', nargs='+', type=Path, default=[], metavar='FILE', help='write .json and .csv files')
    parser.add_argument('--annotate', type=Path, metavar='FOLDER', help='write copies with the top classes as bars')
    parser.add_argument(
        '--no-check',
        action='store_true',
        help='do not decode each video whole first; damaged ones may then give wrong answers, hang or crash',
    )
    parser.add_argument('--device', help='default a GPU where there is one')
    return parser.parse_args(argv)


def predictor(args: argparse.Namespace) -> Predictor:
    common = dict(labels=args.labels, device=args.device)
    if args.timm:
        from kaizen_mm.inference.timm_networks import TimmPredictor

        return TimmPredictor(args.timm, args.checkpoint, **common, **args.model_kwargs)
    from kaizen_mm.openmmlab.inference import ConfigPredictor

    return ConfigPredictor(args.config, args.checkpoint, **common, cfg_options=args.cfg_options)


def annotate(prediction: Prediction, folder: Path, top: int) -> None:
    from kaizen_mm.inference.overlay import annotated_copy

    prediction.annotated = annotated_copy(prediction, folder, top)


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parse_args(argv)
    MMLogger.get_current_instance().setLevel('WARNING')
    console = Console(width=None if sys.stdout.isatty() else 120)
    messages = Console(stderr=True)

    def bar(predictions, total):
        return track(predictions, 'predicting', total, console=messages, disable=total < BAR)

    try:
        check_outputs(args.out, [args.annotate] if args.annotate else [])
        network = predictor(args)
        network.check_videos = not args.no_check
        use = partial(annotate, folder=args.annotate, top=args.top) if args.annotate else lambda prediction: None
        predictions = network(args.inputs, bar, use)
        for path in args.out:
            write(predictions, path, args.top)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        print('error:', ' '.join(str(error).split()), file=sys.stderr)
        return 2
    failed = [p for p in predictions if p.error]
    if len(failed) < len(predictions):
        console.print(table(predictions, args.top, console.width))
    for p in failed:
        print(f'{p.file}: {p.error}', file=sys.stderr)
    return int(bool(failed))
