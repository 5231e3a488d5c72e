"""Measures a table: trains and tests each of its rows over several seeds.

Writes a .json, a .md and a .png file; where the table says what networks cost, the picture is accuracy against
multiply-adds. What is complete is not done again, what was interrupted is resumed. Rows that two tables share are taken
from the other one's record in results/, where there is one of all these seeds.

With "page" in the place of a table's name all that is made of results/*.json is made anew, in a checkout of the
repository. That is the tables of docs/when_it_helps_in_full.md, the pictures of docs/results.md and
docs/when_it_helps.md, and model-index.yml with the metafiles of the configs.

"streams" is accuracy over the windows of streams, "early_exit" that of the weights that the package brings against
their mean passes.

    kaizen-reproduce table1 --seeds 3
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Optional, Sequence

import kaizen_mm
from kaizen_mm.commands.arguments import command, make_parser, positive
from kaizen_mm.config_files import CONFIGS
from kaizen_mm.folder_lock import locked_folder
from kaizen_mm.lab.tables import TABLES

OTHERS = ('streams', 'early_exit')  # whose records are in results/streams


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('table', choices=[*TABLES, *OTHERS, 'page'], help='which table, or "page"')
    parser.add_argument('--seeds', type=positive, default=5, metavar='N', help='seeds 0 to N - 1; default 5')
    parser.add_argument('--quick', action='store_true', help='one epoch on a few images: a smoke test')
    parser.add_argument(
        '--jobs',
        type=positive,
        default=len(os.sched_getaffinity(0)),
        metavar='N',
        help='trainings at a time, one thread each; default the number of CPU cores',
    )
    parser.add_argument(
        '--finished', action='store_true', help='of "streams": train nothing, and leave out what is not trained'
    )
    parser.add_argument('--work-dir', type=Path, help='folder for logs and checkpoints; default work_dirs/TABLE')
    parser.add_argument(
        '--out', type=Path, help='the .json file; default results/TABLE.json, with --quick in the work dir'
    )
    args = parser.parse_args(argv)
    if args.finished and args.table != 'streams':
        parser.error(f'--finished is for streams, not for {args.table}')
    if args.table == 'page':
        from kaizen_mm.lab.metafiles import write_metafiles
        from kaizen_mm.lab.overview import plot_overview
        from kaizen_mm.lab.reproduce import fill_page
        from kaizen_mm.lab.rival_charts import plot_charts

        root = Path(kaizen_mm.__file__).resolve().parents[1]
        if not (root / 'results').is_dir():
            parser.error(
                f'page needs a checkout of the repository: there are no results/ and docs/ beside {kaizen_mm.__file__}'
            )
        fill_page(root / 'docs' / 'when_it_helps_in_full.md', root / 'results')
        write_metafiles(root)
        plot_overview(root / 'results', root / 'docs' / 'images' / 'overview.png')
        plot_charts(root / 'results', root / 'docs' / 'images')
        return
    name = f'{args.table}_quick' if args.quick else args.table
    folder = args.work_dir or Path('work_dirs', name)
    results = Path('results', 'streams') if args.table in OTHERS else Path('results')
    out = args.out or (folder if args.quick else results) / f'{name}.json'
    with locked_folder(folder):
        {'streams': _streams, 'early_exit': _early_exits}.get(args.table, _measure)(args, folder, out)


def _measure(args: argparse.Namespace, folder: Path, out: Path) -> None:
    from kaizen_mm.files import write_lines
    from kaizen_mm.lab.cost import add_costs
    from kaizen_mm.lab.plots import plot_costs, plot_table
    from kaizen_mm.lab.reproduce import markdown, plan, summary, taken

    table = TABLES[args.table]
    known = {} if args.quick else taken(table, Path('results'), range(args.seeds))
    stages = plan(table, CONFIGS, folder.resolve(), range(args.seeds), args.quick)
    stages = [[run for run in stage if (run.row, run.seed) not in known] for stage in stages]
    results = {**known, **_trained(args, stages)}
    rows = summary(table, results)
    if table.costs:
        add_costs(rows, table, CONFIGS)
    hours = sum(row['seconds'] for row in rows.values() if 'taken' not in row) * args.seeds / 3600
    content = dict(rows=rows, **_conditions(args), core_hours=hours)
    write_lines(out, [json.dumps(content, indent=2)])
    write_lines(out.with_suffix('.md'), [markdown(rows)])
    title = f'{table.title}: ' + (
        'one seed' if args.seeds == 1 else f'mean and standard deviation of {args.seeds} seeds'
    )
    (plot_costs if table.costs else plot_table)(rows, out.with_suffix('.png'), title)
    print(markdown(rows))


def _trained(args: argparse.Namespace, stages: list) -> dict:
    """What :func:`kaizen_mm.lab.reproduce.measure` gives, with a bar of the epochs."""
    from rich import progress as bars

    from kaizen_mm.lab.reproduce import measure

    columns = (
        bars.TextColumn('{task.description}'),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn('epochs,'),
        bars.TimeElapsedColumn(),
        bars.TextColumn('left'),
        bars.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with bars.Progress(*columns, speed_estimate_period=1e5) as progress:
        task = progress.add_task(args.table, total=sum(run.epochs for stage in stages for run in stage))

        def done(run, result):
            progress.advance(task, run.epochs)
            progress.console.print(f'{run.row}, seed {run.seed}: {result["metrics"]}')

        return measure(stages, args.jobs, done)


def _conditions(args: argparse.Namespace) -> dict:
    import torch

    return dict(
        seeds=list(range(args.seeds)),
        quick=args.quick,
        command=f'python tools/reproduce.py {args.table} --seeds {args.seeds}',
        hardware=f'{platform.machine()} CPU, one thread per training',
        torch=torch.__version__,
    )


def _streams(args: argparse.Namespace, folder: Path, out: Path) -> None:
    import torch

    from kaizen_mm.files import write_lines
    from kaizen_mm.lab import stream_table

    seeds = range(args.seeds)
    stages = stream_table.stages(CONFIGS, folder.resolve(), seeds, args.quick)
    if not args.finished:
        _trained(args, stages)
    torch.set_num_threads(1)
    runs = [run for stage in stages for run in stage]
    tables = stream_table.measured(
        runs, CONFIGS, folder, seeds, finished=args.finished, **stream_table.QUICK if args.quick else {}
    )
    conditions = _conditions(args)
    if args.finished:
        conditions['command'] += ' --finished'
    write_lines(out, [json.dumps(dict(windows=tables, **conditions), indent=2)])
    text = stream_table.markdown(tables)
    write_lines(out.with_suffix('.md'), [text])
    stream_table.plot(tables, out.with_suffix('.png'), stream_table.TRAININGS.title)
    print(text)


def _early_exits(args: argparse.Namespace, folder: Path, out: Path) -> None:
    import torch

    from kaizen_mm.files import write_lines
    from kaizen_mm.lab import early_exits

    torch.set_num_threads(1)
    rows = early_exits.measure(CONFIGS, folder, early_exits.QUICK if args.quick else None)
    content = dict(
        rows=rows,
        quick=args.quick,
        command='python tools/reproduce.py early_exit',
        hardware=f'{platform.machine()} CPU, one thread; load {os.getloadavg()[0]:.0f} at the end',
        torch=torch.__version__,
    )
    write_lines(out, [json.dumps(content, indent=2)])
    write_lines(out.with_suffix('.md'), [early_exits.markdown(rows)])
    early_exits.plot(rows, out.with_suffix('.png'))
    print(early_exits.markdown(rows))
