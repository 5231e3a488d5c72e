"""mmengine's own runner is as it was; our networks train in it, and a phase one is never passed over."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.runner import build_runner
from kaizen_mm.openmmlab.training.saving import WholeCheckpointHook
from tests.conftest import ROOT, few_digits

LINE = "add the line runner_type = 'KaizenRunner'"


@pytest.fixture
def mnist(mnist_data, monkeypatch, tmp_path) -> Config:
    """Both phases on a few digits, one epoch each, without validation."""
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    init_default_scope('mmpretrain')
    return few_digits(tmp_path / 'work')


def test_our_networks_train_in_it_and_nothing_of_ours_is_written(mnist, tmp_path):
    mnist.phase_one = None
    mnist.model.backbone.freeze_dynamic = False
    mnist.custom_hooks = [dict(type='PhaseOneHook', allow_untrained=True)]
    runner = Runner.from_cfg(mnist)
    runner.train()
    assert [type(hook) for hook in runner.hooks if isinstance(hook, CheckpointHook)] == [CheckpointHook]
    names = {path.name for path in (tmp_path / 'work').iterdir() if path.is_file()}
    assert names == {'epoch_1.pth', 'last_checkpoint', 'kaizen_mnist_k2.py'}
    assert 'training' not in torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=False)['meta']


@pytest.mark.parametrize('hooks', [None, []])
def test_it_does_not_pass_over_a_phase_one(mnist, tmp_path, hooks):
    if hooks is not None:  # a child config may replace them
        mnist.custom_hooks = hooks
    with pytest.raises(ValueError, match=f"runner_type='Runner' would pass over: {LINE}"):
        Runner.from_cfg(mnist).train()
    assert not list((tmp_path / 'work').rglob('*.pth'))


@pytest.mark.parametrize('change', ['nothing', 'freeze_dynamic', 'one iteration', 'head of others', 'load_from'])
@pytest.mark.parametrize('named', [True, False])
def test_a_phase_one_is_not_passed_over_where_no_hook_of_ours_is_named(mnist, tmp_path, change, named):
    """What the stock tools do with a config that has lost its ``runner_type`` and its hooks."""
    mnist.custom_hooks = []
    mnist.default_hooks = {}
    assert mnist.runner_type == 'KaizenRunner'
    if named:
        mnist.runner_type = 'Runner'
    else:
        mnist.pop('runner_type')
    if change == 'freeze_dynamic':
        mnist.model.backbone.freeze_dynamic = False
    elif change == 'one iteration':
        mnist.model.backbone.num_iterations = 1
    elif change == 'head of others':
        mnist.model.backbone = dict(
            type='AdaptiveRecurrentBackbone',
            backbone=dict(type='mmpretrain.ResNet', depth=18, in_channels=1),
            block='layer4.1',
            dynamic='conv1',
            adapter='global',
            input_shape=(1, 28, 28),
            last_iterate=True,
        )
        mnist.model.neck = dict(type='mmpretrain.GlobalAveragePooling')
        mnist.model.head = dict(type='mmpretrain.LinearClsHead', num_classes=10, in_channels=512)
    elif change == 'load_from':
        network = MODELS.build(mnist.model)
        torch.save(dict(state_dict=network.state_dict(), meta={}), tmp_path / 'one.pth')
        mnist.load_from = str(tmp_path / 'one.pth')
    runner = Runner.from_cfg(mnist)
    assert not any(type(hook).__module__.startswith('kaizen_mm.') for hook in runner.hooks)
    for _ in range(2):  # another try of the same runner, as in a notebook
        with pytest.raises(ValueError, match=f"runner_type='Runner' would pass over: {LINE}"):
            runner.train()
    assert not list((tmp_path / 'work').rglob('*.pth'))


def test_after_it_was_refused_a_head_works_on_its_own(mnist):
    """Nothing is left behind that would stop what trains without a runner."""
    mnist.custom_hooks, mnist.default_hooks = [], {}
    with pytest.raises(ValueError, match=LINE):
        Runner.from_cfg(mnist).train()
    network = MODELS.build(mnist.model).train()
    x, samples = torch.randn(2, 1, 28, 28), [DataSample().set_gt_label(n) for n in (0, 1)]
    assert torch.isfinite(network(x, samples, mode='loss')['loss'])


def test_ours_is_known_to_train_it_and_no_checkpoint_says_so(mnist, tmp_path):
    build_runner(mnist).train()
    hub = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=False)['message_hub']
    assert 'trains_phase_one' not in hub['runtime_info']


def test_every_config_with_a_phase_one_has_a_head_that_finds_out():
    heads = {'AdaptiveRecurrentHead', 'AdaptiveRecurrentClsHead'}
    configs = [Config.fromfile(path) for path in sorted((ROOT / 'configs').glob('*.py'))]
    two = [cfg for cfg in configs if cfg.get('phase_one') is not None]
    assert len(two) > 40
    assert {(cfg.model.get('cls_head') or cfg.model.get('head')).type for cfg in two} == heads


def test_commands_take_ours_unless_another_is_asked_for(mnist):
    assert type(build_runner(mnist)) is KaizenRunner
    stock = Config({key: value for key, value in mnist.to_dict().items() if key != 'runner_type'})
    assert type(build_runner(stock)) is KaizenRunner
    stock.runner_type = 'Runner'
    with pytest.raises(ValueError, match=LINE):
        build_runner(stock)
    stock.phase_one = None
    assert type(build_runner(stock)) is Runner


@pytest.mark.parametrize('name', ['KaizenRunner', 'TidyLogRunner'])
def test_the_former_name_is_an_alias(name):
    from kaizen_mm.openmmlab.log.tidy_log import TidyLogRunner

    assert RUNNERS.get(name) is KaizenRunner is TidyLogRunner


def test_ours_has_checkpoints_written_whole_whatever_the_config_says(mnist, tmp_path):
    mnist.custom_hooks = [dict(type='CheckpointHook', interval=1, filename_tmpl='second_{}.pth')]
    hooks = [hook for hook in build_runner(mnist).hooks if isinstance(hook, CheckpointHook)]
    assert [type(hook) for hook in hooks] == [WholeCheckpointHook] * 2
    assert mnist.default_hooks.checkpoint.type == 'CheckpointHook', 'the config stays as it is'


def test_what_trains_nothing_needs_no_phase_one(mnist):
    """Such as tools that test, or extract features."""
    mnist.test_dataloader.dataset.max_images = 8
    assert 'accuracy/top1' in Runner.from_cfg(mnist).test()


def test_runners_of_one_second_write_logs_of_their_own(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.time.time', lambda: 1e9)
    for name in ('a', 'b'):
        mnist.work_dir = str(tmp_path / name)
        build_runner(mnist)
    logs = [log for name in ('a', 'b') for log in (tmp_path / name).glob('*/*.log')]
    assert len(logs) == 2 and all(log.stat().st_size for log in logs)
