"""Measures speed and memory: the sides of each comparison are equal, and are taken in turn in one run.

Prints a table, and with --out writes a record.

    kaizen-benchmark block --cases mfnet2d --iterations 3
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kaizen_mm.commands.arguments import command, duration, make_parser, positive

COMPARISONS = {
    'block': 'a recurrent block beside the plain one, forward and backward',
    'network': 'whole networks in inference',
    'train': 'whole networks in a step of training',
    'memory': 'what a step of training holds at most, for K = 1 to 4, with and without gradient checkpointing',
    'stream': 'a window of a stream: K passes, fast weights, a specialized network, early exit',
}
OTHERS = {
    'data': 'loading of a training clip, and of the ten clips of a test',
    'scaling': 'steps of training in one and two processes',
    'all': 'all of these, one after the other, each in a process of its own; --out is a folder',
}


def parser_of_all() -> argparse.ArgumentParser:
    parser = make_parser(__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--out', type=Path, metavar='FILE', help='write the record to this .json file')
    common.add_argument(
        '--seconds',
        type=duration,
        default=6.0,
        help='that the sides of one comparison are taken in turn; default 6',
    )
    common.add_argument(
        '--rounds', type=positive, default=5, metavar='N', help='rounds that are made however long they take; default 5'
    )
    common.add_argument('--threads', type=positive, help='of torch; default one for each core')
    common.add_argument(
        '--quick', action='store_true', help='one case, two samples, two rounds: shows that it works, measures nothing'
    )
    commands = parser.add_subparsers(dest='command', required=True)
    for name, text in {**COMPARISONS, **OTHERS}.items():
        kind = commands.add_parser(name, parents=[common], help=text, description=text)
        if name in ('data', 'all'):
            kind.add_argument(
                '--videos', metavar='DIR', help='default $KAIZEN_DATA/ucf101_samples; without it, made ones'
            )
        if name != 'data':
            kind.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='default cpu')
        if name in (*COMPARISONS, 'scaling'):
            kind.add_argument(
                '--cases', nargs='+', metavar='NAME', help='only these, or Python files with cases of your own'
            )
        if name in COMPARISONS:
            add_arguments(kind)
        if name in ('block', 'network', 'train'):
            kind.add_argument('--iterations', type=positive, nargs='+', metavar='K', help="default the cases' own")
            kind.add_argument('--batch', type=positive, nargs='+', metavar='N', help="default the cases' own")
            kind.add_argument('--compile', action='store_true', help='one more side, compiled by torch.compile')
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of how networks compute."""
    parser.add_argument(
        '--precision',
        choices=['float32', 'tf32', 'bf16'],
        default='float32',
        help='float32 (default), tf32 (on a GPU: products rounded to it) or bf16 (autocast)',
    )
    parser.add_argument(
        '--layout',
        choices=['contiguous', 'channels-last'],
        default='channels-last',
        help='of maps and weights; default channels-last',
    )


@command
def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of_all()
    args = parser.parse_args(argv)

    from kaizen_mm.lab.benchmark.conditions import circumstances, conditions
    from kaizen_mm.lab.benchmark.records import write_record
    from kaizen_mm.lab.benchmark.runs import run, run_all

    try:
        if args.command == 'all':
            return run_all(args)
        how = conditions(args)
        about = circumstances(how, sys.argv[1:] if argv is None else argv)
        rows = run(args, how)
    except (ValueError, KeyError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        parser.exit(1, f'error: {error}\n')
    if args.out:
        write_record(args.out, about, rows)
    return None


if __name__ == '__main__':
    main()
