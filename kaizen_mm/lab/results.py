"""The record of a tested training, ``result.json``: what is read back is checked."""

import json
from pathlib import Path

from kaizen_mm.arguments import check_int, check_number
from kaizen_mm.files import write_lines
from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.openmmlab.training.settings import fingerprint


def write_result(path: Path, result: dict) -> None:
    """Writes the record, whole and with a checksum of its content."""
    write_lines(path, [json.dumps(dict(result, checksum=fingerprint(result)), indent=2)])


def read_result(path: Path) -> dict:
    """The record of a training and its test, see :func:`~kaizen_mm.lab.experiment.train_and_test`.

    Raises:
        ValueError: The file is damaged or was edited, or a value in it is none that a test can give; file and field are
            named.
    """
    try:
        result = json.loads(path.read_bytes())
    except ValueError as error:  # no JSON, or no UTF-8
        raise ValueError(f'{path} is damaged ({error}); remove it to have the test done again') from error
    try:
        _check(result)
        # a record of before there were checksums has none
        if result.pop('checksum', fingerprint(result)) != fingerprint(result):
            raise ValueError('its content is not what was written')
    except ValueError as error:
        raise ValueError(f'{path}: {error}; remove the file to have the test done again') from error
    return result


def _check(result) -> None:
    if not isinstance(result, dict):
        raise ValueError(f'the record must be a dict, got {type(result).__name__}')
    missing = [
        key
        for key in ('metrics', 'parameters', 'trained_parameters', 'epochs', 'seconds', 'seconds_test')
        if key not in result
    ]
    if missing:
        raise ValueError(f'{missing[0]} is missing')
    check_int('parameters', result['parameters'])
    check_int('trained_parameters', result['trained_parameters'], 0, result['parameters'])
    if result['epochs'] is not None:  # of a training by iterations
        check_int('epochs', result['epochs'])
    for key in ('seconds', 'seconds_test'):
        check_number(key, result[key])
    right = result.get('right', ['0'])  # not in a record of before it was kept
    if (
        not isinstance(right, list)
        or not right
        or not all(isinstance(values, str) and values and set(values) <= {'0', '1'} for values in right)
        or len({len(values) for values in right}) > 1
    ):
        raise ValueError(f'right must be a list of strings of 0 and 1, equally long, got {right!r:.100}')
    if not isinstance(result['metrics'], dict) or not result['metrics']:
        raise ValueError(f'metrics must be a dict of numbers, got {result["metrics"]!r}')
    for name, value in result['metrics'].items():
        check_number(f'metrics[{name!r}]', value, *_range(name))
    for measure in MEASURES.values():
        name = measure.name.format('')
        if name not in result['metrics']:
            if measure.name.format('iterate_1/') in result['metrics']:
                raise ValueError(f'metrics[{name!r}] is missing')
        elif measure.iterates(result['metrics'])[-1] != measure.factor * result['metrics'][name]:
            raise ValueError(f'metrics[{name!r}] must be that of the last iterate, got {result["metrics"][name]!r}')


def _range(name: str) -> tuple:
    """From which value to which a metric can go; None where there is no bound."""
    for measure in MEASURES.values():
        if name.startswith(measure.name.split('{')[0]):
            return 0, 100 / measure.factor
    return -float('inf'), None
