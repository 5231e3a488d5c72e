"""Measures a table: trains and tests each of its rows over several seeds.

Writes a .json, a .md and a .png file. What is complete is not done again, what was interrupted is resumed.
With "page" in the place of a table's name the tables of docs/when_it_helps.md are drawn anew from results/*.json.
"""
import argparse
import json
import os
import platform
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kaizen_mm.files import write_lines
from kaizen_mm.lab.plots import plot_table
from kaizen_mm.lab.reproduce import fill_page, markdown, measure, plan, summary
from kaizen_mm.lab.tables import TABLES

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / 'configs'


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be an int >= 1, got {text}')
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('table', choices=[*TABLES, 'page'], help='which table, or "page"')
    parser.add_argument('--seeds', type=positive, default=5, metavar='N', help='seeds 0 to N - 1; default 5')
    parser.add_argument('--quick', action='store_true', help='one epoch on a few images: a smoke test')
    parser.add_argument('--jobs', type=positive, default=len(os.sched_getaffinity(0)), metavar='N',
                        help='trainings at a time, one thread each; default the number of CPU cores')
    parser.add_argument('--work-dir', type=Path, help='folder for logs and checkpoints; default work_dirs/TABLE')
    parser.add_argument('--out', type=Path, help='the .json file; default results/TABLE.json, with --quick in the work dir')
    args = parser.parse_args()
    if args.table == 'page':
        fill_page(ROOT / 'docs' / 'when_it_helps.md', ROOT / 'results')
        return
    name = f'{args.table}_quick' if args.quick else args.table
    folder = args.work_dir or Path('work_dirs', name)
    out = args.out or (folder if args.quick else Path('results')) / f'{name}.json'
    table = TABLES[args.table]
    stages = plan(table, CONFIGS, folder.resolve(), range(args.seeds), args.quick)
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('epochs,'),
               TimeElapsedColumn(), TextColumn('left'), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, speed_estimate_period=1e5) as progress:
        task = progress.add_task(args.table, total=sum(run.epochs for stage in stages for run in stage))

        def done(run, result):
            progress.advance(task, run.epochs)
            progress.console.print(f'{run.row}, seed {run.seed}: {result["metrics"]}')

        results = measure(stages, args.jobs, done)
    rows = summary(table, results)
    content = dict(
        rows=rows, seeds=list(range(args.seeds)), quick=args.quick,
        command=f'python tools/reproduce.py {args.table} --seeds {args.seeds}',
        hardware=f'{platform.machine()} CPU, one thread per training', torch=torch.__version__,
        core_hours=sum(row['seconds'] for row in rows.values()) * args.seeds / 3600)
    write_lines(out, [json.dumps(content, indent=2)])
    write_lines(out.with_suffix('.md'), [markdown(rows)])
    plot_table(rows, out.with_suffix('.png'), f'{table.title}: ' + ('one seed' if args.seeds == 1 else
                                                                     f'mean and standard deviation of {args.seeds} seeds'))
    print(markdown(rows))


if __name__ == '__main__':
    main()
