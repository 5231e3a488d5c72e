"""Hooks on small runners."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner import EpochBasedTrainLoop

from kaizen_mm.introspection import logit_changes, prediction_changes
from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.hooks import CheckpointCheckHook, RecurrenceHook


def test_what_the_iterations_change_is_logged_and_real(phase_two_config):
    phase_two_config.default_hooks.recurrence.interval = 1
    runner = KaizenRunner.from_cfg(phase_two_config)
    runner.train()
    block, scores = runner.model.backbone.recurrent_block, runner.model.cls_head.last_scores
    expected = dict(
        weight_change=block.weight_change().mean(dim=(1, 2)),
        logit_change=logit_changes(scores).mean(dim=1),
        prediction_change=prediction_changes(scores).float().mean(dim=1),
    )
    for name, values in expected.items():
        for i, value in enumerate(values, start=2):
            logged = runner.message_hub.get_scalar(f'train/iterate_{i}_{name}').current()
            assert logged == pytest.approx(value.item(), rel=1e-5)
            assert logged > 0 or name == 'prediction_change'


@pytest.mark.parametrize(
    'alpha, interval, message',
    [(1e-9, 1, 'Raise the rate of h'), (0.1, 1, ''), (1e-9, 1000, 'Raise the rate of h'), (0.0, 1000, 'h reads zeros')],
)
def test_a_recurrence_that_does_nothing_is_warned_of(phase_two_config, alpha, interval, message):
    phase_two_config.default_hooks.recurrence.interval = interval  # a thousand is more than there are iterations
    phase_two_config.model.backbone.alpha = alpha
    runner = KaizenRunner.from_cfg(phase_two_config)
    runner.train()
    log = '\n'.join(path.read_text() for path in Path(runner.work_dir).rglob('*.log'))
    assert ('the recurrence does nothing' in log) == bool(message) and message in log


@pytest.mark.parametrize('interval, looks', [(1, 8), (3, 4), (4, 2), (1000, 2)])
def test_every_epoch_is_looked_at_however_short_it_is(phase_two_config, interval, looks):
    phase_two_config.default_hooks.recurrence.interval = interval
    phase_two_config.train_cfg.max_epochs = 2  # of four iterations each
    runner = KaizenRunner.from_cfg(phase_two_config)
    runner.train()
    assert len(runner.message_hub.get_scalar('train/iterate_2_weight_change').data[0]) == looks


@pytest.mark.parametrize('max_iters, looks', [(5, 1), (12, 2)])
def test_trainings_without_epochs_are_looked_at(phase_two_config, max_iters, looks):
    phase_two_config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
    phase_two_config.param_scheduler = None
    phase_two_config.custom_hooks[0].allow_untrained = True
    phase_two_config.default_hooks.pop('epoch_seed')
    phase_two_config.default_hooks.logger.interval = 5
    phase_two_config.log_processor.by_epoch = False
    runner = KaizenRunner.from_cfg(phase_two_config)
    runner.train()
    assert len(runner.message_hub.get_scalar('train/iterate_2_weight_change').data[0]) >= looks
    (log,) = Path(runner.work_dir).rglob('*.log')
    assert f'[5/{max_iters}]' in log.read_text(), 'iterations of the whole training'


@pytest.mark.parametrize('interval', [0, -1, 2.5, None, True])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(ValueError, match='interval must be an int >= 1, got'):
        RecurrenceHook(interval=interval)


def test_a_checkpoint_of_another_architecture_is_refused(phase_two_config, tmp_path):
    from mmaction.registry import MODELS

    other = phase_two_config.model.to_dict()
    other['backbone'].update(variant='mfnet3d', num_iterations=1)
    other['cls_head']['head'].update(in_channels=768)
    torch.save(dict(state_dict=MODELS.build(other).state_dict()), tmp_path / 'big.pth')
    phase_two_config.load_from = str(tmp_path / 'big.pth')
    runner = KaizenRunner.from_cfg(phase_two_config)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    with pytest.raises(ValueError, match='of another architecture'):
        runner.load_or_resume()
    assert all(torch.equal(before[k], v) for k, v in runner.model.state_dict().items()), 'nothing is loaded'

    torch.save(dict(weights=3), tmp_path / 'none.pth')
    with pytest.raises(ValueError, match='no state dict'):
        runner.load_checkpoint(str(tmp_path / 'none.pth'))


def test_a_plain_checkpoint_and_one_of_more_iterations_are_accepted(phase_two_config, tmp_path):
    from mmaction.registry import MODELS

    for iterations in (1, 2, 3, 5):
        model = phase_two_config.model.to_dict()
        model['backbone'].update(num_iterations=iterations)
        torch.save(dict(state_dict=MODELS.build(model).state_dict()), tmp_path / f'{iterations}.pth')
        runner = KaizenRunner.from_cfg(phase_two_config)
        runner.load_checkpoint(str(tmp_path / f'{iterations}.pth'))


@pytest.mark.parametrize(
    'iterations, warning',
    [
        (1, 'trained with 1 iterations, the network that is tested has num_iterations=3; its h is not trained'),
        (2, 'trained with 2 iterations, the network that is tested has num_iterations=3'),
        (3, None),
    ],
)
def test_a_test_with_other_iterations_than_were_trained_warns(config, iterations, warning):
    config.model.backbone.num_iterations = iterations
    checkpoint = dict(state_dict=MODELS.build(config.model).state_dict())
    config.model.backbone.num_iterations = 3
    runner, hook = SimpleNamespace(model=MODELS.build(config.model), logger=Log()), CheckpointCheckHook()
    hook.after_load_checkpoint(runner, checkpoint)
    hook.before_test(runner)
    assert [line.partition('was ')[2] for line in runner.logger] == ([warning] if warning else [])


@pytest.mark.parametrize(
    'trained, network, warning',
    [
        (
            2,
            3,
            'trained with 2 iterations, the network that is trained has num_iterations=3; training starts from its h',
        ),
        (2, 1, 'trained with 2 iterations, the network that is trained has num_iterations=1; its h is left out'),
        (3, 3, None),
        (1, 3, None),
        (1, 1, None),
    ],
)
def test_a_training_from_other_iterations_warns(config, trained, network, warning):
    config.model.backbone.num_iterations = trained
    checkpoint = dict(state_dict=MODELS.build(config.model).state_dict(), meta=dict(num_iterations=trained))
    config.model.backbone.num_iterations = network
    loop = object.__new__(EpochBasedTrainLoop)
    runner = SimpleNamespace(model=MODELS.build(config.model), logger=Log(), _train_loop=loop, _resume=False)
    CheckpointCheckHook(new_classifier=True).after_load_checkpoint(runner, checkpoint)
    assert [line.partition('was ')[2] for line in runner.logger] == ([warning] if warning else [])


@pytest.mark.slow
def test_what_was_loaded_and_then_trained_is_tested_without_a_warning(phase_two_config, tmp_path):
    model = phase_two_config.model.to_dict()
    model['backbone'].update(num_iterations=1)
    torch.save(dict(state_dict=MODELS.build(model).state_dict()), tmp_path / 'plain.pth')
    phase_two_config.update(load_from=str(tmp_path / 'plain.pth'), train_cfg=dict(max_epochs=1))
    runner = KaizenRunner.from_cfg(phase_two_config)
    runner.train()
    runner.test()
    (log,) = Path(runner.work_dir).rglob('*.log')
    assert 'Epoch(test)' in log.read_text() and 'its h is not trained' not in log.read_text()


class Log(list):
    info = warning = list.append


@pytest.mark.parametrize(
    'classes, message', [(400, ['The checkpoint is of 400 classes: its classifier is left out']), (8, [])]
)
def test_a_classifier_of_other_classes_is_left_out_by_name_where_that_is_asked_for(config, classes, message):
    config.model.backbone.num_iterations = 1
    model = MODELS.build(config.model)
    config.model.cls_head.head.num_classes = classes
    checkpoint = dict(state_dict=MODELS.build(config.model).state_dict())
    given, own = dict(checkpoint['state_dict']), model.state_dict()
    runner = SimpleNamespace(model=model, logger=Log())
    if classes == 400:
        with pytest.raises(ValueError, match=r'\(400, 192\) for \(8, 192\).*phase_one.load_from'):
            CheckpointCheckHook().after_load_checkpoint(runner, checkpoint)
    CheckpointCheckHook(new_classifier=True).after_load_checkpoint(runner, checkpoint)
    assert [line[: len(text)] for line, text in zip(runner.logger, message)] == message
    loaded = checkpoint['state_dict']
    anew = {name for name in loaded if loaded[name] is not given[name]}
    assert loaded.keys() == given.keys(), 'nothing is missing that the runner would warn of'
    assert anew == ({'cls_head.fc_cls.weight', 'cls_head.fc_cls.bias'} if message else set())
    assert all(name in runner.logger[0] and torch.equal(loaded[name], own[name]) for name in anew)


def test_only_the_classifier_may_be_left_out(config):
    config.model.backbone.num_iterations = 1
    runner = SimpleNamespace(model=MODELS.build(config.model), logger=Log())
    config.model.backbone.widths = (24, 48, 96, 200)
    config.model.cls_head.head.in_channels = 200
    with pytest.raises(ValueError, match='of another architecture'):
        CheckpointCheckHook(new_classifier=True).after_load_checkpoint(
            runner, dict(state_dict=MODELS.build(config.model).state_dict())
        )
