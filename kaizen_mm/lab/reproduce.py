"""Tables: every row a config, trained and tested over several seeds.

Everything is kept under one folder, ``seed_S/CONFIG``; the rows of two phases share the phase one of
their seed, which is a row itself. What is complete is not done again, what was interrupted is resumed.
"""

import json
import multiprocessing
import os
import statistics
import sys
import textwrap
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.config import Config

from kaizen_mm.files import write_lines
from kaizen_mm.lab.experiment import train_and_test
from kaizen_mm.lab.table import Table, lasting
from kaizen_mm.lab.tables import TABLES

_QUICK_EPOCHS = 1
_TABLE = '<!-- table '  # a line of a page that begins with it, and goes on with the table's name
# to what a table's rows are compared, seed by seed, and the titles of these columns
_DIFFERENCES = {
    'difference': 'difference to the control ± standard error',
    'difference_to_rival': 'difference to the static network of as many parameters ± standard error',
}


class Run(NamedTuple):
    """One row of a table for one seed: the file of its config, where it is kept, what is changed, and
    its epochs."""

    row: str
    seed: int
    config: str
    work_dir: str
    options: dict
    epochs: int


def plan(
    table: Table, configs: Path, folder: Path, seeds: Sequence[int], quick: bool = False
) -> Tuple[List[Run], List[Run]]:
    """The runs that need no other, and those that need phase one of their seed."""
    independent, dependent = [], []
    for row in table.rows:
        name, changes = table.variants.get(row, (row, {}))
        cfg = Config.fromfile(configs / f'{name}.py')
        two_phases = cfg.get('phase_one') is not None
        for seed in seeds:
            options = {'randomness.seed': seed, **changes}
            if two_phases:
                options['phase_one.work_dir'] = str(folder / f'seed_{seed}' / table.phase_one)
            if quick:
                options.update(table.quick)
                for phase in ('', 'phase_one.')[: 1 + two_phases]:
                    options.update(lasting(_QUICK_EPOCHS, phase))
            run = Run(
                row,
                seed,
                cfg.filename,
                str(folder / f'seed_{seed}' / row),
                options,
                options.get('train_cfg.max_epochs', cfg.train_cfg.max_epochs),
            )
            (dependent if two_phases else independent).append(run)
    return independent, dependent


def measure(
    stages: Sequence[Sequence[Run]], jobs: int, done: Callable[[Run, dict], None]
) -> Dict[Tuple[str, int], dict]:
    """Trains and tests all runs, stage by stage, ``jobs`` at a time in processes of one thread each.

    Args:
        done: Called with each run and its result as it ends.

    Returns:
        What :func:`~kaizen_mm.lab.experiment.train_and_test` returns, by row and seed.

    Raises:
        RuntimeError: A run has failed; it is named. Those under way are let to end first.
    """
    results = {}
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(jobs, context, initializer=_start_worker) as pool:
        try:
            for runs in stages:
                pending = {pool.submit(_train_and_test, run): run for run in runs}
                while pending:
                    ended, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in ended:
                        run = pending.pop(future)
                        results[run.row, run.seed] = _result(future, run)
                        done(run, results[run.row, run.seed])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _result(future: Future, run: Run) -> dict:
    try:
        return future.result()
    except Exception as error:
        raise RuntimeError(f'{run.row}, seed {run.seed}, in {run.work_dir}: {type(error).__name__}: {error}') from error


def _start_worker() -> None:
    torch.set_num_threads(1)
    sys.stdout = open(os.devnull, 'w')  # noqa: SIM115  for good: mmengine's loggers keep it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker of a killed process would train on, and beside the one that resumes it."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _train_and_test(run: Run) -> dict:
    cfg = Config.fromfile(run.config)
    cfg.merge_from_dict(run.options)
    cfg.work_dir = run.work_dir
    return train_and_test(cfg, output='nothing')


def summary(table: Table, results: Dict[Tuple[str, int], dict]) -> dict:
    """Mean, standard deviation (of the sample) and every seed's accuracy of every row, in percent.

    Returns:
        ``{row: {"parameters", "epochs", "seconds", "top1": {"mean", "std", "per_seed"}, "per_iterate",
        "paper_top1"}}``; ``per_iterate`` has one list per seed, and ``std`` is None for a single seed. Of a table with
        a control, rows other than it have ``"difference": {"mean", "standard_error", "per_seed"}``, that of the pairs
        of one seed, and ``"difference_to_rival"`` where the table has one. Variants have their ``"config"`` and its
        ``"changes"``.
    """
    rows = {}
    for row, paper in table.rows.items():
        runs = [results[key] for key in sorted(results) if key[0] == row]
        per_iterate = [table.measure.iterates(run['metrics']) for run in runs]
        top1 = [iterates[-1] for iterates in per_iterate]
        rows[row] = dict(
            parameters=runs[0]['parameters'],
            epochs=runs[0]['epochs'],
            seconds=statistics.mean(run['seconds'] for run in runs),
            top1=dict(mean=statistics.mean(top1), std=statistics.stdev(top1) if len(top1) > 1 else None, per_seed=top1),
            per_iterate=per_iterate,
            paper_top1=paper,
        )
        if row in table.variants:
            rows[row].update(zip(('config', 'changes'), table.variants[row]))
    for key, common, own in (
        ('difference', table.control, table.controls),
        ('difference_to_rival', table.rival, {}),
    ):
        for name, row in rows.items() if common else ():
            other = own.get(name, common)
            if name != other:
                row[key] = _paired(row['top1']['per_seed'], rows[other]['top1']['per_seed'])
                if other != common:
                    row[key]['control'] = other
    return rows


def _paired(values: Sequence[float], control: Sequence[float]) -> dict:
    """Mean of the differences of pairs, and its standard error; None for a single pair."""
    differences = [value - other for value, other in zip(values, control)]
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return dict(mean=statistics.mean(differences), standard_error=error, per_seed=differences)


_COSTS = ('multiply-adds', 'images/s, training', 'images/s, inference')


def markdown(rows: dict) -> str:
    """The rows of :func:`summary` as a table, with the paper's number beside ours, or the difference to the control, or
    what the networks cost (:mod:`kaizen_mm.lab.cost`)."""
    last = {key: title for key, title in _DIFFERENCES.items() if any(key in row for row in rows.values())}
    costs = any('multiply_adds' in row for row in rows.values())
    head = [
        'config',
        'parameters',
        *(_COSTS if costs else ()),
        'top-1, mean ± std',
        'per seed',
        'mean per iterate',
        *(last.values() or (() if costs else ['paper'])),
    ]
    lines = ['| ' + ' | '.join(head) + ' |', '| ' + ' | '.join(['---'] * len(head)) + ' |']
    for name, row in rows.items():
        top1 = row['top1']
        std = '' if top1['std'] is None else f' ± {top1["std"]:.2f}'
        means = [statistics.mean(values) for values in zip(*row['per_iterate'])]
        lines.append(
            ' | '.join(
                [
                    f'| `{name}`' if 'changes' in row else f'| `{name}.py`',
                    f'{row["parameters"]:,}',
                    *(_cost(row) if costs else ()),
                    f'{top1["mean"]:.2f}{std}',
                    ', '.join(f'{value:.2f}' for value in top1['per_seed']),
                    ', '.join(f'{value:.2f}' for value in means) if len(means) > 1 else '-',
                    *(
                        [_difference(row.get(key)) for key in last]
                        or ([] if costs else ['-' if row['paper_top1'] is None else f'{row["paper_top1"]:.2f}'])
                    ),
                ]
            )
            + ' |'
        )
    return '\n'.join(lines)


def _cost(row: dict) -> List[str]:
    speed = row['images_per_second']
    return [f'{row["multiply_adds"] / 1e6:.2f} M', f'{speed["training"]:.0f}', f'{speed["inference"]:.0f}']


def _difference(difference: Optional[dict]) -> str:
    if difference is None:
        return '-'
    error = difference['standard_error']
    other = f' to `{difference["control"]}`' if 'control' in difference else ''
    return f'{difference["mean"]:+.2f}' + ('' if error is None else f' ± {error:.2f}') + other


def fill_page(page: Path, results: Path) -> None:
    """Draws the tables of a page anew: what stands between ``<!-- table NAME -->`` and ``<!-- end -->``.

    Each is the one of ``NAME.json`` in the folder ``results``, with its seeds and its cost; ``Not run.`` where there is
    none. ``<!-- table hours -->`` is what the tables of the page have cost together.

    Raises:
        ValueError: A table of the page has no end, or a name that is none of a table.
    """
    text = page.read_text(encoding='utf-8').splitlines()
    names = [line.removeprefix(_TABLE).removesuffix(' -->') for line in text if line.startswith(_TABLE)]
    lines, kept, following = [], True, iter(names)
    for line in text:
        if line.startswith(_TABLE):
            name = next(following)
            if name not in (*TABLES, 'hours') or not kept:
                raise ValueError(
                    f'{page}: {line!r} must name one of {", ".join(TABLES)} and come after the end of the one before'
                )
            lines += [line, '', *(_hours(results, names) if name == 'hours' else _drawn(results / f'{name}.json')), '']
            kept = False
        kept = kept or line == '<!-- end -->'
        if kept:
            lines.append(line)
    if not kept:
        raise ValueError(f'{page}: the last table has no <!-- end -->')
    write_lines(page, lines)


def _hours(results: Path, names: Sequence[str]) -> List[str]:
    """How many trainings the records of these tables hold, and the hours of one core that they took."""
    lines, total = ['| table | trainings | hours of one core |', '| --- | --- | --- |'], [0, 0.0]
    for path in (results / f'{name}.json' for name in names):
        if path.exists():
            record = json.loads(path.read_text(encoding='utf-8'))
            cost = len(record['rows']) * len(record['seeds']), record['core_hours']
            total = [a + b for a, b in zip(total, cost)]
            lines.append(f'| `{path.stem}` | {cost[0]} | {cost[1]:.1f} |')
    return [*lines, f'| all | {total[0]} | {total[1]:.1f} |']


def _drawn(path: Path) -> List[str]:
    if not path.exists():
        return ['Not run.']
    content = json.loads(path.read_text(encoding='utf-8'))
    seeds = ', '.join(map(str, content['seeds']))
    source = (
        f'Seed{"s" if len(content["seeds"]) > 1 else ""} {seeds}; `{content["command"]}`; {content["hardware"]}, torch '
        f'{content["torch"]}, {content["core_hours"]:.1f} hours of one core, shared with other work.'
    )
    return [
        *markdown(content['rows']).splitlines(),
        '',
        *textwrap.wrap(source, 100, break_long_words=False, break_on_hyphens=False),
    ]
