"""The curves of trainings, read from the ``scalars.json`` files in their work directories."""

import ast
import json
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

from kaizen_mm.arguments import is_int
from kaizen_mm.config_files import written_entry
from kaizen_mm.openmmlab.log.by_iterate import by_iterate

# name -> iterate (0 for what belongs to none) -> points (x, value); x in epochs, or in iterations where there are no
# epochs
Curves = Dict[str, Dict[int, List[Tuple[float, float]]]]
_LAST = 2**53  # integers up to which floats are exact


class Phase(NamedTuple):
    """One training: what was logged in training, what in validation, and where both end on the x axis."""

    training: Curves
    validation: Curves
    end: float
    by_epoch: bool


class Run(NamedTuple):
    """A name, and the phases in the order in which they were trained."""

    name: str
    phases: List[Phase]


def find_runs(work_dirs: List[Path]) -> List[Run]:
    """The trainings in work directories.

    Args:
        work_dirs: Each the work directory of one training, whose phase one is found with it, or a folder of several.

    Raises:
        FileNotFoundError: A folder is missing or has no ``scalars.json`` of a training in it.
        ValueError: A file holds something else than scalars.
    """
    runs: Dict[Path, Run] = {}
    for work_dir in work_dirs:
        if not work_dir.is_dir():
            raise FileNotFoundError(f'WORK_DIR: no folder {work_dir}')
        records = defaultdict(list)
        for path in sorted(work_dir.rglob('vis_data/scalars.json')):
            if len(path.relative_to(work_dir).parts) > 2:  # the folder itself is no work directory
                records[path.parents[2]].append(path)
        phases = {folder: phase for folder, files in records.items() if (phase := _phase(files))}
        if not phases:
            raise FileNotFoundError(f'WORK_DIR: no vis_data/scalars.json of a training in {work_dir}')
        before = {folder: _phase_one_of(folder, files) for folder, files in records.items() if folder in phases}
        drawn = [work_dir] if work_dir in phases else [f for f in phases if f.resolve() not in before.values()]
        for folder in drawn:
            one = _phase(_records_of(before[folder])) if before[folder] else None
            runs[folder.resolve()] = Run(_name(work_dir, folder), [one, phases[folder]] if one else [phases[folder]])
    return list(runs.values())


def _name(work_dir: Path, folder: Path) -> str:
    base = work_dir.resolve().name
    return base if folder == work_dir else f'{base}/{folder.relative_to(work_dir)}'


def _records_of(work_dir: Path) -> List[Path]:
    return sorted(work_dir.glob('*/vis_data/scalars.json'))


def _phase_one_of(folder: Path, files: List[Path]) -> Optional[Path]:
    """Where phase one of a training is: below it, or where its config says; the folders may have been moved
    together."""
    places, config = [folder / 'phase_one'], files[-1].with_name('config.py')
    named = _written_phase_one(config) if config.is_file() else None
    if named:
        places += [Path(named), folder.parent / Path(named).name]
    return next(
        (place.resolve() for place in places if _records_of(place) and place.resolve() != folder.resolve()), None
    )


def _written_phase_one(config: Path) -> Optional[str]:
    """What ``phase_one = dict(work_dir='...')`` says in the config that a training has left."""
    entry = written_entry(config.read_bytes(), 'phase_one')
    named = {word.arg: word.value for word in getattr(entry, 'keywords', ())}
    try:
        found = ast.literal_eval(named['work_dir'])
    except (KeyError, ValueError, RecursionError, MemoryError):
        return None
    return found if isinstance(found, str) and '\0' not in found else None


def _phase(files: List[Path]) -> Optional[Phase]:
    """A training from the files of its starts: what was done again after a resumption counts once. None for a test."""
    training, validation = [], []
    for path in files:
        rows = _rows(path)
        steps = [row for row in rows if 'iter' in row and any('loss' in name for name in row)]
        others = [row for row in rows if 'iter' not in row and 'step' in row]
        if steps:
            training = [row for row in training if row['step'] < steps[0]['step']]
            begun = steps[0].get('epoch', steps[0]['step'])
            validation = [row for row in validation if row['step'] < begun]
        training, validation = training + steps, validation + others
    if not training:
        return None
    by_epoch = all('epoch' in row for row in training)
    # an epoch ends with a line of its own
    length = (
        max(row['iter'] / row['epoch'] for row in training if row['epoch'] == training[0]['epoch']) if by_epoch else 1
    )
    curves = [_curves(training, length), _curves(validation, 1)]
    ends = [training[-1]['iter'] / length, *(row['step'] for row in validation[-1:])]
    return Phase(*curves, max(ends), by_epoch)


def _rows(path: Path) -> List[dict]:
    lines = path.read_bytes().splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # cut off by the end of the process that wrote it
                break
            raise ValueError(f'{path}:{number}: no line of scalars: {error}') from error
        fault = _fault(row)
        if fault:
            raise ValueError(f'{path}:{number}: no line of scalars: {fault}')
        rows.append(row)
    return rows


def _fault(row) -> Optional[str]:
    """What is wrong with a line; None where nothing is."""
    if not isinstance(row, dict):
        return 'expected {"name": value, ...}'
    for name, least in (('step', 0), ('iter', 1), ('epoch', 1)):
        if name in row and not (is_int(row[name]) and least <= row[name] <= _LAST):
            return f'{name} must be an int from {least} to {_LAST}, got {row[name]!r:.100}'
    if 'iter' in row and 'step' not in row:
        return 'it has an iter but no step'
    for name, value in row.items():
        if is_int(value) and abs(value) > _LAST:
            return f'{name} must be a number of at most {_LAST}, got {value!r:.100}'
    return None


def _curves(rows: List[dict], length: float) -> Curves:
    curves: Curves = defaultdict(lambda: defaultdict(list))
    for row in rows:
        x = row['step'] / length
        groups, rest = by_iterate(
            {name: value for name, value in row.items() if is_int(value) or isinstance(value, float)}
        )
        for name, values in [*groups.items(), *((name, {0: value}) for name, value in rest.items())]:
            for iterate, value in values.items():
                curves[name][iterate].append((x, value))
    return curves
