"""Measures a table: trains and tests each of its rows over several seeds.

Writes a .json, a .md and a .png file; where the table says what networks cost, the picture is accuracy against
multiply-adds. What is complete is not done again, what was interrupted is resumed.
With "page" in the place of a table's name what is made of results/*.json is made anew, in a checkout of the repository:
the tables of docs/when_it_helps.md, and model-index.yml with the metafiles of the configs.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Optional, Sequence

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import kaizen_mm
from kaizen_mm.commands.arguments import positive
from kaizen_mm.files import write_lines
from kaizen_mm.lab.cost import add_costs
from kaizen_mm.lab.metafiles import write_metafiles
from kaizen_mm.lab.plots import plot_costs, plot_table
from kaizen_mm.lab.reproduce import fill_page, markdown, measure, plan, summary
from kaizen_mm.lab.tables import TABLES
from kaizen_mm.openmmlab.named_configs import CONFIGS


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('table', choices=[*TABLES, 'page'], help='which table, or "page"')
    parser.add_argument('--seeds', type=positive, default=5, metavar='N', help='seeds 0 to N - 1; default 5')
    parser.add_argument('--quick', action='store_true', help='one epoch on a few images: a smoke test')
    parser.add_argument(
        '--jobs',
        type=positive,
        default=len(os.sched_getaffinity(0)),
        metavar='N',
        help='trainings at a time, one thread each; default the number of CPU cores',
    )
    parser.add_argument('--work-dir', type=Path, help='folder for logs and checkpoints; default work_dirs/TABLE')
    parser.add_argument(
        '--out', type=Path, help='the .json file; default results/TABLE.json, with --quick in the work dir'
    )
    args = parser.parse_args(argv)
    if args.table == 'page':
        root = Path(kaizen_mm.__file__).resolve().parents[1]
        if not (root / 'results').is_dir():
            parser.error(
                f'page needs a checkout of the repository: there are no results/ and docs/ beside {kaizen_mm.__file__}'
            )
        fill_page(root / 'docs' / 'when_it_helps.md', root / 'results')
        write_metafiles(root)
        return
    name = f'{args.table}_quick' if args.quick else args.table
    folder = args.work_dir or Path('work_dirs', name)
    out = args.out or (folder if args.quick else Path('results')) / f'{name}.json'
    table = TABLES[args.table]
    stages = plan(table, CONFIGS, folder.resolve(), range(args.seeds), args.quick)
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('epochs,'),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, speed_estimate_period=1e5) as progress:
        task = progress.add_task(args.table, total=sum(run.epochs for stage in stages for run in stage))

        def done(run, result):
            progress.advance(task, run.epochs)
            progress.console.print(f'{run.row}, seed {run.seed}: {result["metrics"]}')

        results = measure(stages, args.jobs, done)
    rows = summary(table, results)
    if table.costs:
        add_costs(rows, table, CONFIGS)
    content = dict(
        rows=rows,
        seeds=list(range(args.seeds)),
        quick=args.quick,
        command=f'python tools/reproduce.py {args.table} --seeds {args.seeds}',
        hardware=f'{platform.machine()} CPU, one thread per training',
        torch=torch.__version__,
        core_hours=sum(row['seconds'] for row in rows.values()) * args.seeds / 3600,
    )
    write_lines(out, [json.dumps(content, indent=2)])
    write_lines(out.with_suffix('.md'), [markdown(rows)])
    title = f'{table.title}: ' + (
        'one seed' if args.seeds == 1 else f'mean and standard deviation of {args.seeds} seeds'
    )
    (plot_costs if table.costs else plot_table)(rows, out.with_suffix('.png'), title)
    print(markdown(rows))
