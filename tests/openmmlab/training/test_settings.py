"""What of a config decides the weights, and what does not."""

from pathlib import Path

import pytest
from mmengine.config import Config

from kaizen_mm.lab.tables import TABLES
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from kaizen_mm.openmmlab.training.settings import differences, fingerprint, training_settings
from kaizen_mm.openmmlab.training.settings import test_settings as settings_of_test

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


@pytest.fixture
def kaizen(config) -> Config:
    return config


def changed(cfg: Config, **options) -> Config:
    other = Config(cfg.to_dict())
    other.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return other


@pytest.mark.parametrize(
    'options',
    [
        dict(work_dir='elsewhere'),
        dict(resume=True),
        dict(launcher='pytorch'),
        dict(log_level='ERROR'),
        dict(experiment_name='a'),
        dict(train_dataloader__num_workers=7),
        dict(train_dataloader__pin_memory=True),
        dict(train_cfg__val_interval=7),
        dict(val_cfg=None, val_dataloader=None, val_evaluator=None),
        dict(test_dataloader__batch_size=9),
        dict(default_hooks__logger__interval=3),
        dict(default_hooks__checkpoint__interval=3),
        dict(default_hooks__recurrence=None),
        dict(auto_scale_lr__base_batch_size=99),
        dict(custom_hooks=[]),
        dict(randomness__deterministic=False),
        dict(default_hooks__progress=dict(type='ProgressBarHook')),
        dict(phase_one__work_dir='shared'),
        dict(visualizer=None),
    ],
)
def test_what_is_of_no_effect_is_left_out(kaizen, options):
    assert differences(training_settings(kaizen), training_settings(changed(kaizen, **options))) == []
    assert fingerprint(training_settings(kaizen)) == fingerprint(training_settings(changed(kaizen, **options)))


@pytest.mark.parametrize(
    'options, key',
    [
        (dict(optim_wrapper__optimizer__lr=1.0), 'optim_wrapper.optimizer.lr'),
        (dict(optim_wrapper__type='AmpOptimWrapper'), 'optim_wrapper.type'),
        (dict(train_cfg__max_epochs=9), 'train_cfg.max_epochs'),
        (dict(randomness__seed=7), 'randomness.seed'),
        (dict(randomness__diff_rank_seed=True), 'randomness.diff_rank_seed'),
        (dict(train_dataloader__batch_size=3), 'train_dataloader.batch_size'),
        (dict(train_dataloader__dataset__ann_file='other.txt'), 'train_dataloader.dataset.ann_file'),
        (dict(model__backbone__num_iterations=4), 'model.backbone.num_iterations'),
        (dict(model__cls_head__loss_cls__kaizen_weight=0.0), 'model.cls_head.loss_cls.kaizen_weight'),
        (dict(phase_one__optim_wrapper__optimizer__lr=1.0), 'phase_one.optim_wrapper.optimizer.lr'),
        (dict(custom_hooks=[dict(type='EMAHook')]), 'custom_hooks.0.type'),
        (dict(default_hooks__epoch_seed=None), 'default_hooks.epoch_seed.type'),
        (dict(auto_scale_lr__enable=True), 'auto_scale_lr.enable'),
        (dict(load_from='a.pth'), 'load_from'),
    ],
)
def test_what_decides_is_named_with_both_values(kaizen, options, key):
    lines = differences(training_settings(kaizen), training_settings(changed(kaizen, **options)))
    assert [line for line in lines if line.startswith(f'{key}: ')], lines
    before = training_settings(kaizen).get(key)
    assert all(' there, ' in line and line.endswith(' here') for line in lines)
    assert any(f'{key}: {"not set" if before is None else repr(before)} there' in line for line in lines)


def test_validation_decides_where_it_steers(kaizen):
    stopping = dict(custom_hooks=[dict(type='EarlyStoppingHook', monitor='acc/video_top1')])
    lines = differences(
        training_settings(changed(kaizen, **stopping)),
        training_settings(changed(kaizen, train_cfg__val_interval=7, val_dataloader__batch_size=3, **stopping)),
    )
    assert [line.split(':')[0] for line in lines] == ['train_cfg.val_interval', 'val_dataloader.batch_size']


def test_a_list_counts_with_its_content_and_paths_in_full(kaizen, tmp_path, monkeypatch):
    path = tmp_path / 'lists' / 'train.txt'
    path.parent.mkdir()
    path.write_text('a.mp4 0\n')
    kaizen.train_dataloader.dataset.ann_file = str(path)
    before = training_settings(kaizen)
    monkeypatch.chdir(tmp_path)
    kaizen.train_dataloader.dataset.ann_file = 'lists/train.txt'
    assert training_settings(kaizen) == before
    path.write_text('a.mp4 1\n')
    (line,) = differences(before, training_settings(kaizen))
    assert line.startswith('train_dataloader.dataset.content of ann_file: ')


def test_resumed_it_may_become_longer_but_not_shorter():
    old, more, less = ({'train_cfg.max_epochs': n, 'lr': 1} for n in (2, 3, 1))
    assert differences(old, more) and not differences(old, more, resumed=True)
    assert differences(old, less, resumed=True) and differences(old, dict(more, lr=2), resumed=True)
    assert not differences(dict(old, load_from='a'), old, resumed=True) and differences(dict(old, load_from='a'), old)


def test_tests_count_by_their_own_settings(kaizen):
    before = settings_of_test(kaizen)
    assert settings_of_test(changed(kaizen, optim_wrapper__optimizer__lr=1.0, test_dataloader__num_workers=9)) == before
    assert settings_of_test(changed(kaizen, test_dataloader__dataset__ann_file='other.txt')) != before
    assert settings_of_test(changed(kaizen, test_evaluator__type='AccMetric')) != before


@pytest.mark.parametrize('name', TABLES)
def test_the_rows_of_a_table_share_one_phase_one(name):
    table = TABLES[name]

    def loaded(row):
        source, changes = table.variants.get(row, (row, {}))
        cfg = Config.fromfile(CONFIGS / f'{source}.py')
        cfg.merge_from_dict(changes)
        return cfg

    plain = loaded(table.phase_one)
    for row in table.rows:
        cfg = loaded(row)
        if cfg.get('phase_one') is not None:
            assert differences(training_settings(plain), training_settings(phase_one_config(cfg, 'work'))) == [], row
    different = changed(plain, model__backbone__type='Another')
    assert differences(training_settings(plain), training_settings(different))
