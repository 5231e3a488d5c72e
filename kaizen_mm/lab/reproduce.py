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
from kaizen_mm.lab.correctness import broken
from kaizen_mm.lab.experiment import train_and_test
from kaizen_mm.lab.table import Table, lasting
from kaizen_mm.lab.tables import TABLES
from kaizen_mm.uncertainty import check_seeds, paired_by_sample, paired_by_seed

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
    check_seeds(seeds)
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


def taken(table: Table, results: Path, seeds: Sequence[int]) -> Dict[Tuple[str, int], dict]:
    """Results of rows that another table has measured for all these seeds, by row and seed. They come from that table's
    record in the folder ``results``, in the form of those of :func:`measure`, with its name as ``taken``.

    Raises:
        ValueError: That record's row is of another config, or of other changes.
    """
    found = {}
    for row, (name, other) in table.taken.items():
        path = results / f'{name}.json'
        record = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {'rows': {}}
        if other not in record['rows'] or not set(seeds) <= set(record['seeds']):
            continue
        content = record['rows'][other]
        wanted = json.loads(json.dumps(table.variants.get(row, (row, {}))))
        if [content.get('config', other), content.get('changes', {})] != wanted:
            raise ValueError(
                f'{path}: its row {other!r} is {content.get("config", other)!r} with {content.get("changes", {})}, not '
                f'{wanted[0]!r} with {wanted[1]}'
            )
        for seed in seeds:
            iterates = content['per_iterate'][record['seeds'].index(seed)]
            found[row, seed] = dict(
                metrics=table.measure.metrics(iterates),
                parameters=content['parameters'],
                epochs=content['epochs'],
                seconds=content['seconds'],
                taken=name,
            )
    return found


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
        a control, the other rows have ``"difference": {"mean", "standard_error", "per_seed"}``, and
        ``"difference_to_rival"`` where the table has a rival. The pairs are those of one seed; of a single seed, the
        error is that of pairs of one sample. Variants have their ``"config"`` and its ``"changes"``, and rows of
        another table's record its name as ``"taken"``. Of a table with ``breaks`` recurrent rows have ``"broken":
        {"mean", "per_seed"}``, see :func:`~kaizen_mm.lab.correctness.broken`.
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
        if table.breaks and len(per_iterate[0]) > 1:
            lost = [broken(run['right']) for run in runs]
            rows[row]['broken'] = dict(mean=statistics.mean(lost), per_seed=lost)
        if 'taken' in runs[0]:
            rows[row]['taken'] = runs[0]['taken']
        if row in table.variants:
            rows[row].update(zip(('config', 'changes'), table.variants[row]))
    for key, common, own in (
        ('difference', table.control, table.controls),
        ('difference_to_rival', table.rival, {}),
    ):
        for name, row in rows.items() if common else ():
            other = own.get(name, common)
            if name != other:
                first = [results[min(run for run in results if run[0] == of)] for of in (name, other)]
                row[key] = _paired(row['top1']['per_seed'], rows[other]['top1']['per_seed'], first)
                if other != common:
                    row[key]['control'] = other
    return rows


def _paired(values: Sequence[float], control: Sequence[float], runs: Sequence[dict]) -> dict:
    """Mean of the differences of pairs, and its standard error: over seeds, or over samples where ``runs``, of the row
    and of the other for the one seed that there is, tell which they get right; None where they do not."""
    pairs = paired_by_seed(values, control)
    error = pairs.error
    if len(values) == 1 and all('right' in run for run in runs) and runs[0]['samples'] == runs[1]['samples']:
        right, other = ([value == '1' for value in run['right'][-1]] for run in runs)
        step = paired_by_sample(other, right)
        error = None if step.error is None else 100 * step.error
    return dict(mean=pairs.mean, standard_error=error, per_seed=pairs.per_seed)


_COSTS = ('multiply-adds', 'images/s, training', 'images/s, inference')


def markdown(rows: dict) -> str:
    """The rows of :func:`summary` as a table, with the paper's number beside ours, or the difference to the control, or
    what the networks cost (:mod:`kaizen_mm.lab.cost`)."""
    last = {key: title for key, title in _DIFFERENCES.items() if any(key in row for row in rows.values())}
    costs, breaks = (any(key in row for row in rows.values()) for key in ('multiply_adds', 'broken'))
    head = [
        'config',
        'parameters',
        *(_COSTS if costs else ()),
        'top-1, mean ± std',
        'per seed',
        'mean per iterate',
        *(['right before, wrong at last [%]'] if breaks else ()),
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
                    *([f'{row["broken"]["mean"]:.2f}' if 'broken' in row else '-'] if breaks else ()),
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
            own = [row for row in record['rows'].values() if 'taken' not in row]
            cost = len(own) * len(record['seeds']), record['core_hours']
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
