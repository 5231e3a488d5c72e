"""Measures speed and memory: the sides of each comparison are equal, and are taken in turn in one run.

Prints a table, and with --out writes a record that docs/benchmarks.md and docs/scaling.md are drawn from.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kaizen_mm.commands.arguments import positive
from kaizen_mm.lab.benchmark import block, network, tables
from kaizen_mm.lab.benchmark.conditions import Conditions, add_arguments, conditions, hardware
from kaizen_mm.lab.benchmark.page import draw
from kaizen_mm.lab.benchmark.records import print_table, write_record
from kaizen_mm.lab.benchmark.versions import earlier_version


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--out', type=Path, metavar='FILE', help='write the record to this .json file')
    common.add_argument(
        '--seconds', type=float, default=6.0, help='how long the sides of one comparison are taken in turn; default 6'
    )
    common.add_argument(
        '--rounds', type=positive, default=5, metavar='N', help='rounds that are made however long they take; default 5'
    )
    common.add_argument('--threads', type=positive, help='of torch; default one for each core')
    common.add_argument(
        '--quick', action='store_true', help='tiny sizes and two rounds: shows that it works, measures nothing'
    )
    commands = parser.add_subparsers(dest='command', required=True)
    for name, text in (
        ('block', "one recurrent block: the plain one, the authors' formulation, ours"),
        ('network', 'whole networks in inference'),
        ('train', 'whole networks in a step of training, and its memory'),
        ('memory', 'what a step of training holds, counted from the sizes of its tensors, on no device'),
        ('test', 'ten clips of a video against one, from the file to the scores'),
        ('data', 'loading of clips and photos'),
        ('scaling', 'one and two processes, and how cost grows with K, N, channels and recurrent blocks'),
        ('all', 'all of these, one after the other, each in a process of its own; --out is a folder'),
        ('page', 'draw the tables and plots of docs/benchmarks.md and docs/scaling.md from results/benchmarks'),
    ):
        command = commands.add_parser(name, parents=[common], help=text, description=text)
        if name == 'page':
            continue
        if name in ('test', 'data', 'all'):
            command.add_argument(
                '--videos', metavar='DIR', help='default $KAIZEN_DATA/ucf101_samples; without it, made ones'
            )
        if name == 'all':
            command.add_argument(
                '--device', choices=['cpu', 'cuda'], default='cpu', help='default cpu; records of a GPU are named so'
            )
            command.add_argument('--before', metavar='REV', help='one more side, see the sub-commands')
        elif name not in ('data', 'memory'):
            add_arguments(command)
        if name not in ('block', 'network', 'train'):
            continue
        command.add_argument('--cases', nargs='+', metavar='NAME', help='only these; default all')
        if name == 'block':
            command.add_argument(
                '--iterations', type=positive, nargs='+', default=[3, 4], metavar='K', help='default 3 4'
            )
    return parser


def run_block(args: argparse.Namespace, how: Conditions) -> list[dict[str, Any]]:
    rows = list(block.measure(how, args.iterations, args.cases, earlier_version(how.before)))
    print_table('One block', tables.BLOCK, tables.comparison(rows))
    if how.compile:
        print_table('Compiled', tables.COMPILED, tables.comparison(rows))
    return rows


def run_network(args: argparse.Namespace, how: Conditions) -> list[dict[str, Any]]:
    train = args.command == 'train'
    rows = list(network.measure(how, train, args.cases, earlier_version(how.before)))
    found = tables.comparison(rows)
    print_table('Recurrent networks', tables.NETWORK, [row for row in found if 'plain' in row['sides']])
    print_table('The original implementation', tables.ORIGINAL, [row for row in found if 'original' in row['sides']])
    if train and not how.compile:
        held = [dict(row, side='memory') for row in network.memory(how)]
        columns = [*tables.memory_columns(held), tables.GPU]
        print_table('Peak memory of a step of training, MiB', columns, tables.memory(held))
        rows += held
    return rows


def run_memory(args: argparse.Namespace, how: Conditions) -> list[dict[str, Any]]:
    from kaizen_mm.lab.benchmark import counted_memory

    rows = list(counted_memory.measure(how))
    columns = tables.counted_memory_columns(rows)
    print_table('Memory of a step of training, counted, MiB', columns, tables.memory(rows))
    return rows


def run_test(args: argparse.Namespace, how: Conditions) -> list[dict[str, Any]]:
    from kaizen_mm.lab.benchmark import ten_clips

    rows = list(ten_clips.measure(how, args.videos))
    print_table('Ten clips of a video', tables.TEN_CLIPS, tables.ten_clips(rows))
    return rows


def run_data(args: argparse.Namespace, how: Conditions) -> list[dict[str, Any]]:
    from kaizen_mm.lab.benchmark import data

    rows = list(data.measure(how, args.videos))
    print_table('Clips', tables.CLIPS, tables.clips(rows))
    print_table('Photos', tables.PHOTOS, tables.photos(rows))
    return rows


def run_scaling(args: argparse.Namespace, how: Conditions) -> list[dict[str, Any]]:
    from kaizen_mm.lab.benchmark import growth, processes

    steps = list(processes.measure(how.device, how.quick))
    print_table('Processes', tables.PROCESSES, tables.processes(steps))
    rows = list(growth.measure(how))
    print_table('Growth of cost', tables.GROWTH, rows)
    return [*(dict(row, part='processes') for row in steps), *(dict(row, part='growth') for row in rows)]


RUNS: dict[str, Callable] = dict(
    block=run_block,
    network=run_network,
    train=run_network,
    memory=run_memory,
    test=run_test,
    data=run_data,
    scaling=run_scaling,
)
# of "all": what is measured, by the name of its record, with the options that it has beside those given
ALL = dict(
    block=['block', '--seconds', '2'],
    block_contiguous=['block', '--seconds', '1', '--layout', 'contiguous', '--iterations', '3'],
    network=['network', '--seconds', '6'],
    train=['train', '--seconds', '8'],
    bf16=[
        'block',
        '--seconds',
        '1',
        '--precision',
        'bf16',
        '--iterations',
        '3',
        '--cases',
        'mfnet2d',
        'mfnet3d_n9_224',
    ],
    compiled=['block', '--seconds', '2', '--compile', '--iterations', '3', '--cases', 'mfnet2d'],
    compiled_network=[
        'network',
        '--seconds',
        '6',
        '--compile',
        '--cases',
        'mfnet3d_n9_112',
        'resnet18',
        'mfnet2d_original',
    ],
    compiled_train=['train', '--seconds', '6', '--compile', '--cases', 'mfnet2d_original'],
    memory=['memory'],
    test=['test', '--seconds', '12'],
    test_kept=['test', '--seconds', '6'],
    data=['data', '--seconds', '20'],
    scaling=['scaling', '--seconds', '1'],
)


# of "test_kept": glibc keeps what is freed, in the place of asking the system for each large tensor anew
KEPT = dict(MALLOC_MMAP_THRESHOLD_='1073741824', MALLOC_TRIM_THRESHOLD_='4294967296', MALLOC_TOP_PAD_='67108864')


def run_all(args: argparse.Namespace) -> None:
    """Every measurement of the pages in a process of its own, so that none finds what another has left."""
    for name, options in ALL.items():
        if args.quick and '--compile' in options:
            print(f'{name}: left out with --quick', flush=True)
            continue
        print(f'{name}:', flush=True)
        kind = options[0]
        given = ['--quick', '--seconds', '0'] if args.quick else []
        for option, kinds in (
            ('threads', RUNS),
            ('rounds', RUNS),
            ('before', ('block', 'network', 'train')),
            ('videos', ('test', 'data')),
            ('device', [name for name in RUNS if name not in ('data', 'memory')]),
        ):
            if getattr(args, option) and kind in kinds:
                given += [f'--{option}', str(getattr(args, option))]
        if args.quick and '--cases' in options:
            options = options[: options.index('--cases')]
        if args.out:
            given += ['--out', str(args.out / f'{name}{"_cuda" if args.device == "cuda" else ""}.json')]
        subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'kaizen_mm.commands.benchmark', *options, *given],
            check=True,
            env={**os.environ, **KEPT} if name.endswith('_kept') else None,
        )


def main(argv: Sequence[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        if args.command == 'page':
            return draw()
        if args.command == 'all':
            return run_all(args)
        how = conditions(args)
        about = hardware(how.device, sys.argv[1:] if argv is None else argv)
        rows = RUNS[args.command](args, how)
    except (ValueError, KeyError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        parser.exit(1, f'error: {error}\n')
    if args.out:
        write_record(args.out, about, rows)
    return None


if __name__ == '__main__':
    main()
