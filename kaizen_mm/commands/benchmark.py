"""Measures speed and memory: the sides of each comparison are equal, and are taken in turn in one run.

Prints a table, and with --out writes a record that docs/benchmarks.md and docs/scaling.md are drawn from.
"""
import argparse
from pathlib import Path
from typing import Any, Callable, Dict, List

from kaizen_mm.lab.benchmark import block, network, tables
from kaizen_mm.lab.benchmark.conditions import Conditions, add_arguments, conditions, hardware
from kaizen_mm.lab.benchmark.records import print_table, write_record
from kaizen_mm.lab.benchmark.versions import earlier_version


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be an int >= 1, got {text}')
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--out', type=Path, metavar='FILE', help='write the record to this .json file')
    common.add_argument('--seconds', type=float, default=6.0, help='how long the sides of one comparison are taken in turn; '
                        'five rounds are made in any case; default 6')
    common.add_argument('--threads', type=positive, help='of torch; default one for each core')
    common.add_argument('--quick', action='store_true', help='tiny sizes and two rounds: shows that it works, measures nothing')
    commands = parser.add_subparsers(dest='command', required=True)
    for name, text in (('block', 'one recurrent block: the plain one, the authors\' formulation, ours'),
                       ('network', 'whole networks in inference'), ('train', 'whole networks in a step of training, and its memory')):
        command = commands.add_parser(name, parents=[common], help=text, description=text)
        add_arguments(command)
        command.add_argument('--cases', nargs='+', metavar='NAME', help='only these; default all')
        if name == 'block':
            command.add_argument('--iterations', type=positive, nargs='+', default=[3, 4], metavar='K', help='default 3 4')
    return parser


def run_block(args: argparse.Namespace, how: Conditions) -> List[Dict[str, Any]]:
    rows = list(block.measure(how, args.iterations, args.cases, earlier_version(how.before)))
    print_table('One block', tables.BLOCK, tables.comparison(rows))
    return rows


def run_network(args: argparse.Namespace, how: Conditions) -> List[Dict[str, Any]]:
    train = args.command == 'train'
    rows = list(network.measure(how, train, args.cases, earlier_version(how.before)))
    found = tables.comparison(rows)
    print_table('Recurrent networks', tables.NETWORK, [row for row in found if 'plain' in row['sides']])
    print_table('The original implementation', tables.ORIGINAL, [row for row in found if 'original' in row['sides']])
    if train:
        held = [dict(row, side='memory') for row in network.memory(how)]
        print_table('Peak memory of a step of training, MiB', tables.memory_columns(held), tables.memory(held))
        rows += held
    return rows


RUNS: Dict[str, Callable] = dict(block=run_block, network=run_network, train=run_network)


def main(argv=None) -> None:
    parser = make_parser()
    args = parser.parse_args(argv)
    try:
        how = conditions(args)
        about = hardware(how.device)
        rows = RUNS[args.command](args, how)
    except (ValueError, KeyError) as error:
        parser.error(str(error))
    if args.out:
        write_record(args.out, about, rows)


if __name__ == '__main__':
    main()
