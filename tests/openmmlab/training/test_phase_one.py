"""Two phases in one run: when phase one is trained, what phase two starts from."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from kaizen_mm.openmmlab.training.record import read_record as record_of

W_1 = ('backbone.conv5.B02.conv_i1.conv.weight', 'backbone.conv5.B02.conv_i2.conv.weight')


def state(path) -> dict:
    return read_checkpoint(path)['state_dict']


def test_both_phases_then_neither(config):
    work = Path(config.work_dir)
    runner = KaizenRunner.from_cfg(config)
    runner.train()
    assert MMLogger.get_current_instance() is runner.logger
    one, two = state(work / 'phase_one' / 'epoch_1.pth'), state(work / 'epoch_1.pth')
    added = {k for k in two if k not in one}
    assert added and all('.adapter.' in k or '.iterates.' in k for k in added)
    for key in one:
        if key in W_1:
            assert torch.equal(one[key], two[key]), 'W_1 is frozen'
    assert not torch.equal(one['backbone.conv1.conv.weight'], two['backbone.conv1.conv.weight'])

    stamp = (work / 'phase_one' / 'epoch_1.pth').stat().st_mtime_ns
    again = KaizenRunner.from_cfg(config)
    again.train()
    assert (work / 'phase_one' / 'epoch_1.pth').stat().st_mtime_ns == stamp, 'phase one is not trained again'
    assert all(torch.equal(v, two[k]) for k, v in state(work / 'epoch_1.pth').items())


def test_load_from_skips_phase_one(config, tmp_path):
    from mmaction.registry import MODELS

    model = config.model.to_dict()
    model['backbone']['num_iterations'] = 1
    plain = MODELS.build(model).state_dict()
    torch.save(dict(state_dict=plain), tmp_path / 'plain.pth')
    config.load_from = str(tmp_path / 'plain.pth')
    KaizenRunner.from_cfg(config).train()
    assert not Path(config.work_dir, 'phase_one').exists()
    two = state(Path(config.work_dir, 'epoch_1.pth'))
    assert all(torch.equal(two[k], plain[k]) for k in W_1)


def test_weights_out_of_reach_are_told_before_anything_is_tried(config, monkeypatch):
    monkeypatch.setattr('kaizen_mm.openmmlab.training.phase_one.try_one_step', lambda runner: pytest.fail('tried'))
    address = 'http://127.0.0.1:9/weights.pth'  # nobody answers
    config.phase_one.load_from = address
    with pytest.raises(OSError, match=f'load_from: {address} cannot be read .*Give a file of these weights'):
        KaizenRunner.from_cfg(config).train()
    config.load_from = address
    with pytest.raises(OSError, match=f'load_from: {address} cannot be read .*Give a file of these weights'):
        KaizenRunner.from_cfg(config).train()
    assert not list(Path(config.work_dir).rglob('*.pth'))


@pytest.mark.slow
def test_untrained_weights_are_an_error_unless_asked_for(config):
    config.phase_one = None
    with pytest.raises(ValueError, match='untrained W_1.*load_from.*allow_untrained'):
        KaizenRunner.from_cfg(config).train()
    assert not list(Path(config.work_dir).glob('*.pth'))
    config.custom_hooks = [dict(type='PhaseOneHook', allow_untrained=True)]
    KaizenRunner.from_cfg(config).train()
    assert Path(config.work_dir, 'epoch_1.pth').exists()


@pytest.mark.slow
@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook')]])
def test_a_child_config_that_replaces_the_hooks_has_phase_one_all_the_same(config, hooks):
    config.custom_hooks = hooks
    KaizenRunner.from_cfg(config).train()
    one, two = (state(Path(config.work_dir, folder, 'epoch_1.pth')) for folder in ('phase_one', ''))
    assert all(torch.equal(one[key], two[key]) for key in W_1)


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_phase_two_starts_from_wherever_phase_one_ended(config, loop):
    if loop == 'epochs':  # it is stopped after the first of three epochs
        config.phase_one.train_cfg.update(max_epochs=3, val_interval=1)
        config.custom_hooks.append(
            dict(type='EarlyStoppingHook', monitor='acc/video_top1', rule='greater', stopping_threshold=-1)
        )
    else:
        config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
        config.phase_one.train_cfg = dict(type='IterBasedTrainLoop', max_iters=3, val_interval=3)
        config.default_hooks.checkpoint.update(by_epoch=False, interval=10, filename_tmpl='net_{}.pth')
        for schedule in (config, config.phase_one):
            schedule.param_scheduler = [dict(type='LinearLR', by_epoch=False, end=2)]
    KaizenRunner.from_cfg(config).train()
    one, two = (record_of(Path(config.work_dir, folder)) for folder in ('phase_one', ''))
    assert (one.checkpoint, two.checkpoint) == (
        ('epoch_1.pth', 'epoch_1.pth') if loop == 'epochs' else ('net_3.pth', 'net_2.pth')
    )
    one, two = (state(Path(config.work_dir, path)) for path in (f'phase_one/{one.checkpoint}', two.checkpoint))
    assert all(torch.equal(one[key], two[key]) for key in W_1)
    assert two['backbone.conv1.conv.weight'].equal(one['backbone.conv1.conv.weight']) is False

    again = Config(config.to_dict())
    again.resume = True
    stamps = {path: path.stat().st_mtime_ns for path in Path(config.work_dir).rglob('*.pth')}
    KaizenRunner.from_cfg(again).train()
    assert {path: path.stat().st_mtime_ns for path in Path(config.work_dir).rglob('*.pth')} == stamps


@pytest.mark.slow
def test_phase_one_of_another_config_is_not_taken(config):
    one = Path(config.work_dir, 'phase_one')
    KaizenRunner.from_cfg(phase_one_config(config, config.work_dir)).train()
    config.phase_one.optim_wrapper.optimizer.lr = 0.5
    with pytest.raises(
        ValueError, match=f'{one} holds a training of another config:\n  optim_wrapper.optimizer.lr: 0.001 there, 0.5'
    ):
        KaizenRunner.from_cfg(config).train()
    assert not Path(config.work_dir, 'epoch_1.pth').exists()


def test_phase_one_takes_over_data_and_mixed_precision(config):
    config.train_dataloader.batch_size = 3
    config.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    one = phase_one_config(config, 'work')
    assert one.train_dataloader.batch_size == 3
    assert one.optim_wrapper.type == 'AmpOptimWrapper' and one.optim_wrapper.loss_scale == 'dynamic'
    assert 'custom_keys' not in one.optim_wrapper.paramwise_cfg
    assert one.work_dir == str(Path('work', 'phase_one')) and one.phase_one is None
    assert config.train_cfg.max_epochs == 1 and config.phase_one is not None, 'phase two stays as it was'


@pytest.mark.slow
@pytest.mark.parametrize('hooks', [None, []])
@pytest.mark.parametrize('prefix', ['backbone.', 'cls_head.', 'nothing.'])
def test_weights_that_init_cfg_has_loaded_count(config, tmp_path, hooks, prefix):
    from mmaction.registry import MODELS

    model = config.model.to_dict()
    model['backbone']['num_iterations'] = 1
    plain = MODELS.build(model).state_dict()
    torch.save(dict(state_dict=plain), tmp_path / 'plain.pth')
    config.phase_one = None
    config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'plain.pth'), prefix=prefix)
    if hooks is not None:
        config.custom_hooks = hooks
    runner = KaizenRunner.from_cfg(config)
    if prefix == 'backbone.':
        runner.train()
        two = state(Path(config.work_dir, 'epoch_1.pth'))
        assert all(torch.equal(two[key], plain[key]) for key in W_1)
        return
    message = {
        'cls_head.': "W_1.*init_cfg of backbone names .*plain.pth: it has no weights .* the prefix 'cls_head.'",
        'nothing.': "backbone.init_cfg: .*plain.pth has no weights under the prefix 'nothing.'; prefix must be",
    }
    with pytest.raises(ValueError, match=message[prefix]):
        runner.train()
    assert not list(Path(config.work_dir).glob('*.pth'))
