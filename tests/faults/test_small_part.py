"""The part of the faults that runs with the tests; ``make faults`` runs all of them."""
import re

from tests.faults import arguments
from tests.faults.case import is_named


def test_the_targets_are_built_with_good_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not list(arguments.built_as_they_are())


def test_every_argument_of_a_wrong_kind_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong, count = [], 0
    for case in arguments.cases():
        count += 1
        try:
            case.act(tmp_path)
            wrong.append(f'{case.name}: silent')
        except Exception as error:
            if not is_named(error) or not re.search(case.pattern, str(error)):
                wrong.append(f'{case.name}: {type(error).__name__}: {error}')
    assert count > 1000 and not wrong, wrong[:20]
