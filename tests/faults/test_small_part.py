"""The part of the faults that runs with the tests; ``make faults`` runs all of them."""

import os
import re
import signal
import time

import pytest
from mmengine.registry import DefaultScope

from tests.faults import arguments, fast_weights, networks, new_configs, recipes
from tests.faults.__main__ import FAMILIES, counts, markdown
from tests.faults.case import Case, is_named, try_all
from tests.faults.kills import forked
from tests.faults.samples import Samples


@pytest.fixture(autouse=True)
def _no_scope_of_another_test(monkeypatch):
    monkeypatch.setattr(DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)())


def test_the_targets_are_built_with_good_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not list(arguments.built_as_they_are())


@pytest.mark.parametrize(
    'cases, least',
    [
        (arguments.cases, 1000),
        (networks.cases, 10),
        (fast_weights.fast_weights, 40),
        (recipes.cases, 10),
        (new_configs.new_configs, 20),
    ],
)
def test_every_argument_of_a_wrong_kind_is_named(tmp_path, monkeypatch, cases, least):
    wrong, count = [], 0
    for case in cases():
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        monkeypatch.chdir(folder)
        try:
            case.act(folder)
            wrong.append(f'{case.name}: silent')
        except Exception as error:
            if not is_named(error) or not re.search(case.pattern, str(error)):
                wrong.append(f'{case.name}: {type(error).__name__}: {error}')
    assert count > least and not wrong, wrong[:20]


@pytest.fixture(scope='module')
def samples(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for key in (
            'KAIZEN_DATA',
            'KAIZEN_LIST_ROOT',
            'KAIZEN_LIST_CLASSES',
            'KAIZEN_IMAGE_ROOT',
            'KAIZEN_IMAGE_CLASSES',
            'PYTHONWARNINGS',
            'OMP_NUM_THREADS',
            'PYTHONPATH',
            'FAULTS_VIDEO_CONFIG',
        ):
            patch.setenv(key, '')  # puts back afterwards what the samples set
        made = Samples(tmp_path_factory.mktemp('faults') / 'samples')
        assert forked(made.prepare) == 0
        yield made


# every nth of a family
@pytest.mark.slow
@pytest.mark.parametrize(
    'family, every',
    [
        ('videos', 19),
        ('images', 11),
        ('predictions', 5),
        ('streams', 5),
        ('lists', 10),
        ('names', 9),
        ('released', 5),
        ('configs', 12),
        ('checkpoints', 13),
        ('foreign code', 19),
        ('resuming', 5),
        ('concurrency', 6),
        ('full disk', 8),
    ],
)
def test_a_few_of_each_family(samples, tmp_path, family, every):
    cases = [case._replace(timeout=300) for case in list(FAMILIES[family](samples))[::every]]
    outcomes = list(try_all(cases, tmp_path))
    assert len(outcomes) == len(cases)
    wrong = [f'{o.case.name}: {o.verdict}: {o.text[-500:]}' for o in outcomes if o.verdict != 'as expected']
    assert not wrong, '\n'.join(wrong)


OUTCOMES = {
    'as expected': ('error', 'a.mp4', lambda folder: _raise(ValueError('a.mp4 is bad'))),
    'silent': ('error', '', lambda folder: None),
    'another message': ('error', 'a.mp4', lambda folder: _raise(ValueError('bad'))),
    'unnamed error': ('error', '', lambda folder: _raise(AttributeError("'NoneType' has no a.mp4"))),
    'error': ('accepted', '', lambda folder: _raise(ValueError('bad'))),
    'wrong': ('accepted', '', lambda folder: _raise(AssertionError('not the same weights'))),
    'died': ('error', '', lambda folder: os.kill(os.getpid(), signal.SIGKILL)),
    'hung': ('error', '', lambda folder: time.sleep(60)),
}


def _raise(error):
    raise error


@pytest.mark.parametrize('verdict', OUTCOMES)
def test_the_runner_sees_each_outcome(tmp_path, verdict):
    (outcome,) = try_all(
        [Case('runner', verdict, *OUTCOMES[verdict], timeout=3 if verdict == 'hung' else 60)], tmp_path
    )
    assert outcome.verdict == verdict
    assert counts([outcome])['runner'][verdict] == 1 and '| runner | 1 |' in markdown(counts([outcome]))


def test_what_is_said_and_left_out_counts(tmp_path):
    cases = [
        Case('runner', 'warned', 'warned', 'passed over', lambda folder: print('passed over: epoch_2.pth')),
        Case('runner', 'nothing said', 'warned', 'passed over', lambda folder: None),
    ]
    assert [outcome.verdict for outcome in try_all(cases, tmp_path)] == ['as expected', 'silent']
