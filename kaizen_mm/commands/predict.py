r"""Classifies images, videos or a stream: the top classes, as a table, as files, drawn into copies.

    kaizen-predict photos/ 'more/*.jpg' --config CONFIG --checkpoint CHECKPOINT
    kaizen-predict clip.mp4 --config CONFIG --checkpoint CHECKPOINT --out result.json result.csv --annotate FOLDER
    kaizen-predict photo.jpg --timm kaizen_mfnet2d_n9 --checkpoint phase_two.pth \
        --model-kwargs num_classes=20 img_size=64 pool_padding=1
    kaizen-predict --stream long.mp4 --config CONFIG --checkpoint CHECKPOINT --out result.jsonl --timeline result.png

Exit status: 0; 1 where an input could not be used, or something was wrong with the stream (the rest is done); 2 for an
error; 130 where Ctrl-C ended a stream.
What folders have beside photos or videos is passed over, with a line that counts it.
"""

import argparse
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Sequence, Union

from kaizen_mm.commands.arguments import add_network, command, duration, make_parser, positive, quiet_mmengine
from kaizen_mm.folder_lock import locked_folder
from kaizen_mm.text import printable

if TYPE_CHECKING:
    from kaizen_mm.inference import Prediction, Predictor

WIDTH = 1000  # columns where the table goes into a file: a line for each row, however long its names
BAR = 5  # inputs from which on a progress bar is shown


def parse_args(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument('inputs', nargs='*', metavar='INPUT', help='files, folders, glob patterns')
    add_network(parser)
    parser.add_argument(
        '--labels',
        metavar='FILE',
        help='one class name a line; default what the checkpoint or the config knows, or else numbers',
    )
    parser.add_argument('--top', type=positive, default=3, metavar='K', help='classes of each iterate; default 3')
    parser.add_argument('--iterates', action='store_true', help='a line for each iterate, not for the last alone')
    parser.add_argument(
        '--out',
        nargs='+',
        type=Path,
        default=[],
        metavar='FILE',
        help='write .json and .csv files; of a stream a .jsonl file, each line as it comes',
    )
    parser.add_argument(
        '--annotate',
        type=Path,
        metavar='FOLDER',
        help='write copies with the top classes as bars; of a stream an .mp4 file',
    )
    parser.add_argument(
        '--no-check',
        action='store_true',
        help='do not decode each video whole first; damaged ones may then give wrong answers, hang or crash',
    )
    parser.add_argument('--device', help='default a GPU where there is one')
    add_stream(parser)
    args = parser.parse_args(argv)
    if args.stream is None:
        given = [option for option, value in _stream_options(args).items() if value is not None]
        if given:
            parser.error(f'{given[0]} needs --stream')
        if not args.inputs:
            parser.error('the following arguments are required: INPUT or --stream')
    elif args.inputs:
        parser.error(f'either INPUT or --stream, got {args.inputs[0]} and --stream {args.stream}')
    elif args.iterates or args.no_check:
        parser.error(f'{"--iterates" if args.iterates else "--no-check"} is not for --stream')
    elif len(args.out) > 1:
        parser.error(f'--out takes one .jsonl file with --stream, got {" ".join(map(str, args.out))}')
    return args


def add_stream(parser: argparse.ArgumentParser) -> None:
    """Adds ``--stream`` and its options."""
    group = parser.add_argument_group('streams', 'a window of frames at a time; weights that one writes are held')
    group.add_argument(
        '--stream',
        metavar='INPUT',
        help='a long video, a folder of frames, the number of a camera, or a URL that FFmpeg opens; Ctrl-C ends it',
    )
    group.add_argument(
        '--window', type=positive, metavar='N', help='frames of a window; default what the network looks at'
    )
    group.add_argument(
        '--stride',
        type=positive,
        metavar='N',
        help='frames from the start of a window to that of the next; default --window, without a gap',
    )
    group.add_argument(
        '--write',
        type=writing,
        metavar='WHEN',
        help='when a recurrent network writes weights anew, which takes all its passes: "cut", where another scene '
        'begins (default); a number M, every M windows; "never", in the first window alone',
    )
    group.add_argument(
        '--rewrite',
        type=positive,
        metavar='M',
        help='every M windows the network goes on writing from the one pass that it makes; for networks that were '
        'trained on chains of windows. Default never',
    )
    group.add_argument(
        '--smooth',
        choices=['none', 'mean'],
        help='"mean": the mean of all windows since the scene began; default "none", each window alone',
    )
    group.add_argument('--timeline', type=Path, metavar='FILE', help='draw the classes over time, as .png')
    group.add_argument(
        '--patience',
        type=seconds,
        metavar='SECONDS',
        help='how long a stream that gives no frames is waited for; default 60',
    )


def writing(text: str) -> Union[str, int]:
    """When weights are written anew: as ``kaizen_mm.streams`` takes it."""
    if text in ('never', 'cut', 'cuts'):
        return 'never' if text == 'never' else 'cuts'
    try:
        return positive(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'must be never, cut or a number of windows, an int >= 1, got {text}'
        ) from error


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    value = duration(text)
    if not value:
        raise argparse.ArgumentTypeError('must be more than 0, got 0')
    return value


def _stream_options(args):
    names = ('window', 'stride', 'write', 'rewrite', 'smooth', 'timeline', 'patience')
    return {f'--{name}': getattr(args, name) for name in names}


def predict_stream(args: argparse.Namespace) -> int:
    from kaizen_mm.streams.prediction import StreamPredictor
    from kaizen_mm.streams.running import StreamRun

    is_camera = args.stream.isascii() and args.stream.isdigit() and not Path(args.stream).exists()
    try:
        run = StreamRun(
            int(args.stream) if is_camera else args.stream,
            args.top,
            args.out[0] if args.out else None,
            args.timeline,
            args.annotate,
            args.patience or 60.0,
        )
        smoothing = None if args.smooth in (None, 'none') else args.smooth
        network = StreamPredictor(
            predictor(args), args.window, args.stride, args.write or 'cuts', smoothing, args.rewrite
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        print('error:', printable(' '.join(str(error).split())), file=sys.stderr)
        return 2
    return run(network)


def predictor(args: argparse.Namespace) -> 'Predictor':
    common = dict(labels=args.labels, device=args.device)
    if args.timm:
        from kaizen_mm.inference.timm_networks import TimmPredictor

        return TimmPredictor(args.timm, args.checkpoint, **common, **args.model_kwargs)
    from kaizen_mm.openmmlab.inference import ConfigPredictor

    quiet_mmengine()
    return ConfigPredictor(args.config, args.checkpoint, **common, cfg_options=args.cfg_options)


def annotate(prediction: 'Prediction', folder: Path, top: int) -> None:
    from kaizen_mm.inference.overlay import annotated_copy

    prediction.annotated = annotated_copy(prediction, folder, top)


@command
def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parse_args(argv)
    if args.stream is not None:
        return predict_stream(args)

    from rich.console import Console
    from rich.progress import track

    from kaizen_mm.inference.media import passed_over_line
    from kaizen_mm.inference.output import check_outputs, fitting_table, write

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    messages = Console(stderr=True)

    def bar(predictions, total):
        return track(predictions, 'predicting', total, console=messages, disable=total < BAR)

    try:
        check_outputs(args.out, [args.annotate] if args.annotate else [])
        network = predictor(args)
        network.check_videos = not args.no_check
        use = partial(annotate, folder=args.annotate, top=args.top) if args.annotate else lambda prediction: None
        with locked_folder(args.annotate) if args.annotate else nullcontext():
            predictions = network(args.inputs, bar, use)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        print('error:', printable(' '.join(str(error).split())), file=sys.stderr)
        return 2
    failed = [p for p in predictions if p.error]
    if len(failed) < len(predictions):
        shown, count = fitting_table(predictions, console, args.top, args.iterates)
        console.print(shown)
        if count < args.top and any(len(p.names) > count for p in predictions):
            classes = 'the first class' if count == 1 else f'the first {count} classes'
            print(
                f'{classes} of {args.top}, as the terminal is {console.width} wide; --out FILE has all', file=sys.stderr
            )
    for p in failed:
        print(printable(f'{p.file}: {p.error}'), file=sys.stderr)
    if network.passed_over:
        print(printable(passed_over_line(network.passed_over)), file=sys.stderr)
    unwritten = False
    for path in args.out:  # what one cannot take, the table and the others have
        try:
            write(predictions, path, args.top)
        except (OSError, ValueError) as error:
            unwritten = True
            print('error:', printable(f'{path}: {" ".join(str(error).split())}'), file=sys.stderr)
    return 2 if unwritten else int(bool(failed))
