"""Tries all faults and prints a table of what they did; ``make faults`` runs this."""

import argparse
import datetime
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kaizen_mm  # noqa: F401  first: it mends what keeps mmaction2 from being imported

# isort: split
import mmaction.models  # noqa: F401
import mmpretrain.models  # noqa: F401

# isort: split
from tests.faults import (
    arguments,
    concurrency,
    fast_weights,
    files,
    foreign_code,
    full_disk,
    kills,
    names,
    networks,
    new_configs,
    predictions,
    recipes,
    released,
    streams,
    trainings,
)
from tests.faults.case import Outcome, try_all
from tests.faults.kills import forked
from tests.faults.samples import Samples

FAMILIES = {
    'arguments': lambda samples: arguments.cases(),
    'networks': lambda samples: networks.cases(),
    'fast weights': lambda samples: fast_weights.fast_weights(),
    'videos': files.videos,
    'images': files.images,
    'predictions': predictions.predictions,
    'streams': streams.streams,
    'lists': files.lists,
    'names': names.names,
    'configs': trainings.configs,
    'checkpoints': trainings.damaged_checkpoints,
    'foreign code': foreign_code.foreign_code,
    'resuming': trainings.resuming,
    'concurrency': concurrency.concurrency,
    'new configs': lambda samples: new_configs.new_configs(),
    'recipes': lambda samples: recipes.cases(),
    'released': released.released,
    'full disk': full_disk.full_disk,
    'kills': kills.kills,
}
VERDICTS = ('as expected', 'silent', 'another message', 'unnamed error', 'error', 'wrong', 'died', 'hung')


def main():
    parser = argparse.ArgumentParser(prog='python -m tests.faults', description=__doc__)
    parser.add_argument('--families', nargs='+', choices=FAMILIES, default=list(FAMILIES), help='default all')
    parser.add_argument('--only', default='', metavar='TEXT', help='only faults whose names have this in them')
    parser.add_argument(
        '--every', type=int, default=1, metavar='N', help='only every Nth fault of each family; default 1'
    )
    parser.add_argument('--jobs', type=int, default=2, metavar='N', help='faults at a time; default 2')
    parser.add_argument(
        '--patience',
        type=float,
        default=1,
        metavar='FACTOR',
        help='multiplies the seconds after which a fault counts as hung, for a busy machine; default 1',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs', 'faults.md'), help='the table; default work_dirs/faults.md'
    )
    args = parser.parse_args()
    console, started = Console(width=max(140, Console().width)), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder, 'samples'))
        if forked(samples.prepare):
            sys.exit('the training that faults start from has failed')
        outcomes: List[Outcome] = []
        for family in args.families:
            cases = [
                case._replace(timeout=args.patience * case.timeout)
                for case in FAMILIES[family](samples)
                if args.only in case.name
            ][:: args.every]
            tried = try_all(cases, Path(folder, family.replace(' ', '_')), args.jobs)
            for outcome in track(tried, family, len(cases), console=console):
                outcomes.append(outcome)
                if outcome.verdict != 'as expected':
                    expected = f'expected {outcome.case.expected} /{outcome.case.pattern}/'
                    console.print(
                        f'{outcome.case.family}, {outcome.case.name}: {expected}, {outcome.verdict}:',
                        outcome.text.strip()[-600:],
                        markup=False,
                    )
    rows = counts(outcomes)
    console.print(table(rows))
    minutes = (time.monotonic() - started) / 60
    args.out.parent.mkdir(parents=True, exist_ok=True)
    command = ' '.join(['python -m tests.faults', *sys.argv[1:]])
    args.out.write_text(
        f'{markdown(rows)}\n{datetime.date.today()}, `{command}`, {minutes:.0f} minutes, '
        f'{platform.machine()}, torch {torch.__version__}\n'
    )
    sys.exit(any(outcome.verdict != 'as expected' for outcome in outcomes))


def counts(outcomes: Iterable[Outcome]) -> Dict[str, Counter]:
    """By family: how many faults there were, of each expected class and of each verdict, and the longest seconds."""
    rows: Dict[str, Counter] = {}
    for outcome in outcomes:
        row = rows.setdefault(outcome.case.family, Counter())
        row.update(['faults', f'expected {outcome.case.expected}', outcome.verdict])
        row['slowest'] = max(row['slowest'], outcome.seconds)
    return rows


def cells(rows: Dict[str, Counter]) -> List[List[str]]:
    lines = [['family', 'faults', *VERDICTS, 'slowest, s']]
    for family, row in rows.items():
        lines.append([family, *(str(row[key]) for key in ('faults', *VERDICTS)), f'{row["slowest"]:.0f}'])
    total = sum(rows.values(), Counter())
    lines.append(
        [
            'all',
            *(str(total[key]) for key in ('faults', *VERDICTS)),
            f'{max((row["slowest"] for row in rows.values()), default=0):.0f}',
        ]
    )
    return lines


def table(rows: Dict[str, Counter]) -> Table:
    head, *lines = cells(rows)
    shown = Table()
    for name in head:
        shown.add_column(name, justify='left' if name == 'family' else 'right')
    for line in lines:
        shown.add_row(*line)
    return shown


def markdown(rows: Dict[str, Counter]) -> str:
    head, *lines = cells(rows)
    return ''.join(f'| {" | ".join(line)} |\n' for line in (head, ['---'] + ['---:'] * (len(head) - 1), *lines))


if __name__ == '__main__':
    main()
