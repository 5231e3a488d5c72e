"""Tables: what is run for them, what is kept, what they say."""

import copy
import functools
import json
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.lab.experiment import train_and_test
from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.lab.reproduce import Run, fill_page, markdown, measure, plan, summary, taken
from kaizen_mm.lab.table import Table
from kaizen_mm.lab.tables import TABLES
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from kaizen_mm.openmmlab.training.record import read_record, write_record

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@functools.cache
def loaded(path: str) -> Config:
    return Config.fromfile(path)


def config(run: Run, cfg: Optional[Config] = None, **options) -> Config:
    """The config that a run trains."""
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(run.config) if cfg is None else copy.deepcopy(cfg)
    cfg.merge_from_dict({**run.options, **options})
    cfg.work_dir = run.work_dir
    return cfg


@pytest.mark.parametrize('quick', [False, True])
@pytest.mark.parametrize('name', TABLES)
def test_every_row_is_planned_for_every_seed_and_phase_one_is_shared(name, quick, tmp_path):
    table = TABLES[name]
    independent, dependent = plan(table, CONFIGS, tmp_path, [0, 3], quick)
    assert sorted((run.row, run.seed) for run in independent + dependent) == sorted(
        (row, seed) for row in table.rows for seed in (0, 3)
    )
    first = {run.seed: run for run in independent if run.row == table.phase_one}
    for run in independent + dependent:
        source, changes = table.variants.get(run.row, (run.row, {}))
        plain = copy.deepcopy(loaded(run.config))
        plain.merge_from_dict(changes)
        cfg = config(run, plain)
        assert run.work_dir == str(tmp_path / f'seed_{run.seed}' / run.row) and run.config == str(
            CONFIGS / f'{source}.py'
        )
        assert cfg.randomness.seed == run.seed
        assert cfg.train_cfg.max_epochs == run.epochs == (1 if quick else plain.train_cfg.max_epochs)
        assert cfg.model == plain.model and (quick or cfg.train_dataloader == plain.train_dataloader)
        assert (run in dependent) == bool(plain.get('phase_one'))
        if run in dependent:  # what the hook would train is the row that is there already
            one, row = phase_one_config(cfg, cfg.work_dir), config(first[run.seed], loaded(first[run.seed].config))
            assert one.work_dir == row.work_dir
            for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'train_dataloader', 'randomness'):
                assert one[key] == row[key], key


def test_quick_takes_a_few_images(tmp_path, mnist_data, image_folders, monkeypatch):
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    monkeypatch.setenv('KAIZEN_IMAGE_ROOT', str(image_folders))
    monkeypatch.setenv('KAIZEN_IMAGE_CLASSES', '4')
    for name, train, test in (('table1', 512, 200), ('tiny_imagenet', 20, 12)):  # of 20 and 12 images
        cfg = config(plan(TABLES[name], CONFIGS, tmp_path, [0], quick=True)[0][0])
        sizes = [
            len(Runner.build_dataloader(cfg[f'{loader}_dataloader'], seed=0).dataset)
            for loader in ('train', 'val', 'test')
        ]
        assert sizes == [train, test, test]


TABLE = Table(
    title='digits', phase_one='plain', rows={'plain': 96.5, 'net_k3': None}, measure=MEASURES['top1'], quick={}
)


def results(seeds):
    """Accuracies of 10, 20, ... in turn."""
    both = {}
    for seed in seeds:
        both['plain', seed] = dict(
            metrics={'accuracy/top1': 90.0 + seed}, parameters=880, epochs=20, seconds=2.0 + seed
        )
        iterates = {f'accuracy/iterate_{i}/top1': 80.0 + i + 2 * seed for i in (1, 2, 3)}
        both['net_k3', seed] = dict(
            metrics={'accuracy/top1': iterates['accuracy/iterate_3/top1'], **iterates},
            parameters=5680,
            epochs=10,
            seconds=7.0,
        )
    return both


def test_the_summary_by_hand():
    rows = summary(TABLE, results([2, 0]))  # in whichever order they have ended
    assert rows == {
        'plain': dict(
            parameters=880,
            epochs=20,
            seconds=3.0,
            top1=dict(mean=91.0, std=pytest.approx(2**0.5), per_seed=[90.0, 92.0]),
            per_iterate=[[90.0], [92.0]],
            paper_top1=96.5,
        ),
        'net_k3': dict(
            parameters=5680,
            epochs=10,
            seconds=7.0,
            top1=dict(mean=85.0, std=pytest.approx(8**0.5), per_seed=[83.0, 87.0]),
            per_iterate=[[81.0, 82.0, 83.0], [85.0, 86.0, 87.0]],
            paper_top1=None,
        ),
    }
    assert summary(TABLE, results([1]))['net_k3']['top1'] == dict(mean=85.0, std=None, per_seed=[85.0])


def test_the_table_by_hand():
    lines = markdown(summary(TABLE, results([0, 2]))).splitlines()
    assert lines[2:] == [
        '| `plain.py` | 880 | 91.00 ± 1.41 | 90.00, 92.00 | - | 96.50 |',
        '| `net_k3.py` | 5,680 | 85.00 ± 2.83 | 83.00, 87.00 | 83.00, 84.00, 85.00 | - |',
    ]
    assert {line.count('|') for line in lines} == {7}
    assert markdown(summary(TABLE, results([0]))).splitlines()[2] == '| `plain.py` | 880 | 90.00 | 90.00 | - | 96.50 |'


def test_differences_to_the_control_are_those_of_pairs():
    table = TABLE._replace(control='plain')
    rows = summary(table, results([0, 2, 3]))
    # 83, 87, 89 less 90, 92, 93: -7, -5, -4
    assert 'difference' not in rows['plain']
    assert rows['net_k3']['difference'] == dict(
        mean=pytest.approx(-16 / 3), per_seed=[-7.0, -5.0, -4.0], standard_error=pytest.approx((7 / 3) ** 0.5 / 3**0.5)
    )
    lines = markdown(rows).splitlines()
    assert lines[0].endswith('| difference to the control ± standard error |')
    assert [line.split(' | ')[-1] for line in lines[2:]] == ['- |', '-5.33 ± 0.88 |']
    one = results([2])
    assert markdown(summary(table, one)).splitlines()[3].endswith('| -5.00 |'), 'which samples is not known'
    one['plain', 2].update(right=['1' * 92 + '0' * 8], samples='x')
    one['net_k3', 2].update(right=['', '', '0' * 6 + '1' * 87 + '0' * 7], samples='x')
    changes = np.array([-1] * 6 + [1] + [0] * 93)
    error = summary(table, one)['net_k3']['difference']['standard_error']
    assert error == pytest.approx(100 * changes.std() / 10), 'paired by sample where there is one seed'
    one['plain', 2]['samples'] = 'y'
    assert summary(table, one)['net_k3']['difference']['standard_error'] is None


def test_a_row_may_have_a_control_of_its_own():
    measured = results([0, 2, 3])
    for seed, top1 in ((0, 80.0), (2, 86.0), (3, 86.0)):
        measured['wide', seed] = dict(metrics={'accuracy/top1': top1}, parameters=900, epochs=20, seconds=2.0)
    rows = dict(TABLE.rows, wide=None)
    rows = summary(TABLE._replace(rows=rows, control='plain', controls={'net_k3': 'wide'}), measured)
    assert rows['net_k3']['difference']['control'] == 'wide' and 'control' not in rows['wide']['difference']
    assert rows['net_k3']['difference']['per_seed'] == [3.0, 1.0, 3.0]  # 83, 87, 89
    assert rows['wide']['difference']['per_seed'] == [-10.0, -6.0, -7.0]
    assert markdown(rows).splitlines()[3].endswith('| +2.33 ± 0.67 to `wide` |')


def test_differences_to_a_rival_are_a_column_of_their_own():
    rows = summary(TABLE._replace(control='plain', rival='net_k3'), results([0, 2, 3]))
    assert 'difference_to_rival' not in rows['net_k3'] and 'difference' not in rows['plain']
    assert rows['plain']['difference_to_rival']['per_seed'] == [7.0, 5.0, 4.0]
    lines = markdown(rows).splitlines()
    assert lines[0].endswith(
        '± standard error | difference to the static network of as many parameters ± standard error |'
    )
    assert [line.split(' | ')[-2:] for line in lines[2:]] == [['-', '+5.33 ± 0.88 |'], ['-5.33 ± 0.88', '- |']]


def test_the_share_of_samples_that_the_last_iterate_breaks():
    table = TABLE._replace(breaks=True)
    runs = {key: dict(run, right=['1100', '1010', '1001']) for key, run in results([0, 1]).items()}
    rows = summary(table, runs)
    assert rows['net_k3']['broken'] == dict(mean=50.0, per_seed=[50.0, 50.0]) and 'broken' not in rows['plain']
    lines = [line.split(' | ') for line in markdown(rows).splitlines()]
    column = lines[0].index('right before, wrong at last [%]')
    assert [lines[row][column] for row in (2, 3)] == ['-', '50.00'] and {len(line) for line in lines} == {len(lines[0])}
    assert 'right before' not in markdown(summary(TABLE, runs))


def recorded(folder, seeds=(0, 2, 3), **table) -> None:
    """Writes the record of a table, of whose rows one is a variant."""
    rows = summary(TABLE._replace(**table), results(list(seeds)))
    (folder / 'other.json').write_text(json.dumps(dict(rows=rows, seeds=list(seeds), core_hours=1.0)))


def test_a_row_that_another_table_holds_is_taken_from_its_record(tmp_path):
    table = TABLE._replace(
        taken=dict(net_k3=('other', 'net_k3'), plain=('no_record', 'plain')),
        variants={'net_k3': ('net', {'a.b': (1, 2)})},
    )
    assert taken(table, tmp_path, [0, 2]) == {}
    recorded(tmp_path, variants=table.variants)
    assert taken(table, tmp_path, [0, 1]) == {}, 'not all of these seeds'
    assert taken(table._replace(taken=dict(net_k3=('other', 'no_row'))), tmp_path, [0, 2]) == {}
    found = taken(table, tmp_path, [2, 3])
    assert sorted(found) == [('net_k3', 2), ('net_k3', 3)]
    rows = summary(table, {**results([2, 3]), **found})
    expected = summary(table, results([2, 3]))
    assert rows['net_k3'].pop('taken') == 'other'
    assert rows == expected


def test_a_row_may_have_another_name_there(tmp_path):
    recorded(tmp_path, variants={'net_k3': ('net', {})})
    rows = dict(TABLE.rows, fast=None)
    table = TABLE._replace(rows=rows, taken=dict(fast=('other', 'net_k3')), variants={'fast': ('net', {})})
    found = taken(table, tmp_path, [0])
    assert summary(table, {**results([0]), **found})['fast']['top1']['per_seed'] == [83.0]


def test_a_row_of_another_config_or_other_changes_is_not_taken(tmp_path):
    recorded(tmp_path, variants={'net_k3': ('net', {'a': 1})})
    for variant in (('net', {'a': 2}), ('net2', {'a': 1})):
        table = TABLE._replace(taken=dict(net_k3=('other', 'net_k3')), variants={'net_k3': variant})
        with pytest.raises(ValueError, match="other.json: its row 'net_k3' is 'net' with {'a': 1}, not"):
            taken(table, tmp_path, [0])


def test_a_measure_is_made_of_its_metrics_and_the_other_way_round():
    for kind in MEASURES.values():
        for iterates in ([50.0], [25.0, 37.5, 75.0]):
            assert kind.iterates(kind.metrics(iterates)) == iterates


FACTORS = [
    (table, row)
    for table in ('bagnet_cifar10_adapters', 'bagnet_cifar10_losses')
    for row, (_, options) in TABLES[table].variants.items()
    if any(key.startswith('model.') for key in options)
]


@pytest.mark.parametrize('name, row', FACTORS)
def test_variants_of_a_config_are_one_factor_away_and_build(name, row, tmp_path):
    table = TABLES[name]
    run = next(run for run in plan(table, CONFIGS, tmp_path, [0])[0] if run.row == row)
    centre, cfg = loaded(run.config), config(run, loaded(run.config))
    net = MODELS.build(copy.deepcopy(cfg.model))
    assert len(net.backbone(torch.randn(2, 3, 32, 32))) == cfg.model.backbone.num_iterations
    changed = [
        key
        for key in ('model', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'train_dataloader')
        if cfg[key] != centre[key]
    ]
    assert changed == ['model']
    rows = {name: dict(metrics={'accuracy/top1': 50.0}, parameters=1, epochs=1, seconds=1.0) for name in table.rows}
    measured = summary(table, {(name, 0): result for name, result in rows.items()})
    assert measured[row]['changes'] == table.variants[row][1] and f'| `{row}` | 1 |' in markdown(measured)


def test_the_tables_of_a_page_are_drawn_from_results(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(
        '# Title\n\n<!-- table table1 -->\nold\n<!-- end -->\ntext\n<!-- table tiny_imagenet -->\n<!-- end -->\nend\n'
    )
    rows = summary(TABLE, results([0, 2]))
    (tmp_path / 'table1.json').write_text(
        json.dumps(
            dict(
                rows=rows,
                seeds=[0, 2],
                command='python tools/reproduce.py table1',
                hardware='x86 CPU',
                torch='2.5',
                core_hours=1.26,
            )
        )
    )
    for _ in range(2):
        fill_page(page, tmp_path)
        assert page.read_text() == (
            f'# Title\n\n<!-- table table1 -->\n\n{markdown(rows)}\n\nSeeds 0, 2; `python tools/reproduce.py '
            'table1`; x86 CPU, torch 2.5, 1.3 hours of one core, shared\nwith other work.\n\n<!-- end '
            '-->\ntext\n<!-- table tiny_imagenet -->\n\nNot run.\n\n<!-- end -->\nend\n'
        )
    for text in ('<!-- table nothing -->\n<!-- end -->\n', '<!-- table table1 -->\n'):
        page.write_text(text)
        with pytest.raises(ValueError, match='must name one of table1, .* and come after|the last table has no'):
            fill_page(page, tmp_path)
        assert page.read_text() == text


def test_the_hours_of_a_page_are_those_of_its_tables(tmp_path):
    rows = summary(TABLE, results([0, 2]))
    rows['more'] = dict(rows['plain'], taken='table1')  # trained for another table
    for name, spent in (('table1', 1.25), ('tiny_imagenet', 100.0), ('cifar10_16px', 0.5)):
        (tmp_path / f'{name}.json').write_text(
            json.dumps(dict(rows=rows, seeds=[0, 2], command='a', hardware='b', torch='c', core_hours=spent))
        )
    page = tmp_path / 'page.md'
    page.write_text(
        '\n'.join(
            f'<!-- table {name} -->\n<!-- end -->' for name in ('hours', 'cifar10_16px', 'table1', 'cifar10_half_scan')
        )
    )
    fill_page(page, tmp_path)
    lines = page.read_text().splitlines()
    assert lines[4:8] == ['| `cifar10_16px` | 4 | 0.5 |', '| `table1` | 4 | 1.2 |', '| all | 8 | 1.8 |', '']


def test_the_page_shows_what_is_in_results(tmp_path):
    page = CONFIGS.parent / 'docs' / 'when_it_helps_in_full.md'
    copied = tmp_path / page.name
    copied.write_text(page.read_text())
    fill_page(copied, CONFIGS.parent / 'results')
    assert copied.read_text() == page.read_text(), 'run: python tools/reproduce.py page'


def small_table(folder, seeds=(0,)):
    """The runs of ``mnist`` and ``kaizen_mnist_k2``."""
    table = Table('MNIST', 'mnist', {'mnist': 96.5, 'kaizen_mnist_k2': 98.16}, MEASURES['top1'], TABLES['table1'].quick)
    return table, [run for stage in plan(table, CONFIGS, folder, seeds, quick=True) for run in stage]


@pytest.mark.slow
def test_what_is_complete_is_not_done_again(mnist_data, monkeypatch, tmp_path):
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    table, runs = small_table(tmp_path)
    first = [train_and_test(config(run), 'nothing') for run in runs]
    assert [result['parameters'] for result in first] == [880, 5680]
    assert [result['trained_parameters'] for result in first] == [880, 5200]
    assert not list(tmp_path.rglob('phase_one')), 'phase one is the row'

    # without its result a complete training is tested again, and gives the same
    Path(runs[1].work_dir, 'result.json').unlink()
    for method in ('train', 'test'):
        calls, real = [], getattr(Runner, method)
        monkeypatch.setattr(Runner, method, lambda self, calls=calls, real=real: calls.append(1) or real(self))
        if method == 'train':
            trained = calls
    again = [train_and_test(config(run), 'nothing') for run in runs]
    assert (len(trained), len(calls)) == (0, 1)
    assert again[0] == first[0] and again[1]['metrics'] == first[1]['metrics']
    assert [train_and_test(config(run), 'nothing') for run in runs] == again and len(calls) == 1

    # an edited one is refused
    result = Path(runs[0].work_dir, 'result.json')
    whole = result.read_text()
    result.write_text(whole.replace('"accuracy/top1": ', '"accuracy/top1": 999'))
    with pytest.raises(
        ValueError, match=rf"{result}: metrics\['accuracy/top1'\] must be a number from 0 to 100.0, got 999"
    ):
        train_and_test(config(runs[0]), 'nothing')
    result.write_text(whole)

    # an unfinished one is trained on
    record = read_record(runs[0].work_dir)
    record.checkpoint = record.iterations = None
    write_record(runs[0].work_dir, record)
    assert train_and_test(config(runs[0]), 'nothing')['metrics'] == first[0]['metrics'] and len(trained) == 1


def test_a_result_counts_for_its_own_config_and_test(mnist_data, monkeypatch, tmp_path):
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    run = small_table(tmp_path)[1][0]
    first = train_and_test(config(run), 'nothing')
    tested = []
    real = Runner.test
    monkeypatch.setattr(Runner, 'test', lambda self: tested.append(self) or real(self))
    assert train_and_test(config(run), 'nothing') == first and not tested
    fewer = {'test_dataloader.dataset.max_images': 50}
    again = train_and_test(config(run, **fewer), 'nothing')
    assert again['metrics'] != first['metrics'] and len(tested) == 1
    # the training has taken what it took
    assert again['seconds'] - again['seconds_test'] >= first['seconds'] - first['seconds_test']
    for key, value, before in (
        ('optim_wrapper.optimizer.lr', 0.5, 0.008),
        ('train_dataloader.dataset.max_images', 99, 512),
        ('train_cfg.max_epochs', 2, 1),
    ):
        with pytest.raises(
            ValueError,
            match=f'{run.work_dir} holds a training of another config:\n  {key}: {before} there, {value} here',
        ):
            train_and_test(config(run, **{key: value}), 'nothing')
    assert len(tested) == 1


@pytest.mark.slow
def test_what_is_tested_is_what_training_ended_with(mnist_data, monkeypatch, tmp_path):
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    stopping = dict(type='EarlyStoppingHook', monitor='accuracy/top1', rule='greater', stopping_threshold=-1)
    tested = []
    real = Runner.test
    monkeypatch.setattr(Runner, 'test', lambda self: tested.append(self._load_from) or real(self))
    for run in small_table(tmp_path)[1]:
        hooks = [dict(type='PhaseOneHook'), stopping] if run.row == 'kaizen_mnist_k2' else [stopping]
        longer = {'train_cfg.max_epochs': 3, 'custom_hooks': hooks}
        if run.row == 'kaizen_mnist_k2':
            longer['phase_one.train_cfg.max_epochs'] = 3
        train_and_test(config(run, **longer), 'nothing')
        assert tested[-1] == str(Path(run.work_dir, 'epoch_1.pth'))
        assert not Path(run.work_dir, 'epoch_2.pth').exists(), 'it was stopped after one of three epochs'


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_what_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv('KAIZEN_DATA', str(tmp_path))
    monkeypatch.setenv('PYTHONWARNINGS', 'ignore')
    ended = []
    with pytest.raises(
        RuntimeError, match=r'(?s)mnist, seed 7, in .*seed_7/mnist: FileNotFoundError: .*neither train-images'
    ):
        measure([small_table(tmp_path / 'work', seeds=[7])[1][:1]], 1, lambda run, result: ended.append(run))
    assert not ended


@pytest.mark.slow
def test_the_real_digits_are_learned(real_data, tmp_path):
    table, runs = small_table(tmp_path)
    more = {
        f'{loader}_dataloader.dataset.max_images': count
        for loader, count in (('train', 30_000), ('val', 2_000), ('test', 2_000))
    }
    measured = {(run.row, run.seed): train_and_test(config(run, **more), 'nothing') for run in runs}
    rows = summary(table, measured)
    assert (
        rows['mnist']['top1']['mean'] > 70 and rows['kaizen_mnist_k2']['top1']['mean'] > rows['mnist']['top1']['mean']
    )
    assert len(rows['kaizen_mnist_k2']['per_iterate'][0]) == 2
    one, two = (read_checkpoint(Path(run.work_dir, 'epoch_1.pth'))['state_dict'] for run in runs)
    assert one['backbone.fc1.weight'].equal(two['backbone.fc1.weight']), 'W_1 is that of phase one'
    assert not one['backbone.conv1.0.weight'].equal(two['backbone.conv1.0.weight'])
