"""Statistics of batch norm that code from outside resets, measures, averages or copies are those of all iterates."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.models.mfnet import mfnet2d_n9
from kaizen_mm.surgery import RecurrentNetwork

SIZE = 32


def mfnet(**options):
    return mfnet2d_n9(num_classes=5, num_iterations=3, input_size=(SIZE, SIZE), pool_padding=1, alpha=1.0, **options)


def resnet(**options):
    """Norms follow the recurrent block."""
    plain = timm.create_model('test_resnet', num_classes=5, zero_init_last=False)
    return RecurrentNetwork(plain, 'layer3.0', torch.randn(1, 3, SIZE, SIZE), 'conv1', 'bn2', alpha=1.0, **options)


def synced():
    """Converted to SyncBN and, for processors without such kernels, back."""
    return back(nn.SyncBatchNorm.convert_sync_batchnorm(resnet()))


def back(module):
    for name, child in module.named_children():
        module.add_module(name, back(child))
    if not isinstance(module, nn.SyncBatchNorm):
        return module
    norm = nn.BatchNorm2d(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
    norm.weight, norm.bias = module.weight, module.bias
    norm.running_mean, norm.running_var = module.running_mean, module.running_var
    norm.num_batches_tracked, norm.training = module.num_batches_tracked, module.training
    for name, child in module.named_children():
        norm.add_module(name, child)
    return norm


def batches(count=3):
    torch.manual_seed(5)
    return [(1 + i) * torch.randn(4, 3, SIZE, SIZE) + i for i in range(count)]


@pytest.fixture(params=[mfnet, resnet, synced], ids=lambda build: build.__name__)
def net(request):
    """A network that has seen other data than what its statistics are then measured on."""
    torch.manual_seed(0)
    net = request.param()
    for _ in range(2):
        net.forward_iterates(4 * torch.randn(4, 3, SIZE, SIZE) - 3)
    return net


def statistics(net):
    return {name: value.clone() for name, value in net.state_dict().items() if 'running_' in name}


def every_batch(net, xs):
    """The statistics of each iterate after each batch alone."""
    alone = []
    for x in xs:
        single = copy.deepcopy(net).train()
        for module in single.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0  # what was there before counts nothing
        with torch.no_grad():
            single.forward_iterates(x)
        alone.append(statistics(single))
    return alone


def assert_means(net, alone):
    got = statistics(net)
    assert any('.iterates.' in name for name in got)
    for name, value in got.items():
        expected = torch.stack([one[name] for one in alone]).mean(dim=0)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f'{name}: {text}')


def test_update_bn_measures_all_iterates(net):
    xs = batches()
    expected = every_batch(net, xs)
    update_bn(xs, net)
    assert_means(net, expected)


def test_update_bn_of_averaged_weights(net):
    xs = batches()
    averaged = AveragedModel(net)
    averaged.update_parameters(net)
    expected = every_batch(averaged.module, xs)
    update_bn(xs, averaged)
    assert_means(averaged.module, expected)


@torch.no_grad()
def precise(net, xs, kind=nn.modules.batchnorm._BatchNorm):
    """The mean of the batches' statistics, as hooks for precise batch norm measure it."""
    norms = [m for m in net.modules() if m.training and isinstance(m, kind)]
    means = [torch.zeros_like(norm.running_mean) for norm in norms]
    variances = [torch.zeros_like(norm.running_var) for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    for x in xs:
        net(x)
        for norm, mean, variance in zip(norms, means, variances):
            mean += norm.running_mean / len(xs)
            variance += norm.running_var / len(xs)
    for norm, mean, variance in zip(norms, means, variances):
        norm.running_mean, norm.running_var, norm.momentum = mean, variance, 0.1


@pytest.mark.parametrize('kind', [nn.modules.batchnorm._BatchNorm, nn.BatchNorm2d])
def test_precise_batch_norm_measures_all_iterates(net, kind):
    xs = batches()
    expected = every_batch(net, xs)
    precise(net.train(), xs, kind)
    assert_means(net, expected)


@pytest.mark.parametrize(
    'reset',
    [
        lambda m: m.reset_running_stats() if isinstance(m, nn.BatchNorm2d) else None,
        lambda m: m.reset_parameters() if isinstance(m, nn.BatchNorm2d) else None,
        lambda m: m.reset_running_stats() if hasattr(m, 'reset_running_stats') else None,
    ],
)
def test_a_reset_is_one_of_all_iterates(net, reset):
    net.apply(reset)
    for name, value in statistics(net).items():
        assert torch.equal(value, torch.full_like(value, float('var' in name))), name
    assert not any(value.any() for name, value in net.state_dict().items() if name.endswith('num_batches_tracked'))


def test_code_that_freezes_every_batch_norm(net):
    for module in net.modules():  # as mmaction2's ResNet does it with partial_bn
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.weight.requires_grad = module.bias.requires_grad = False
            nn.init.ones_(module.weight)
    before = statistics(net)
    net.forward_iterates(batches(1)[0])
    after = statistics(net)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_tracking_that_is_switched_off_leaves_all_iterates(net):
    before = statistics(net)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.track_running_stats = False
    net.train().forward_iterates(batches(1)[0])
    assert all(torch.equal(value, before[name]) for name, value in statistics(net).items())


def test_copied_buffers_are_those_of_all_iterates(net):
    other = copy.deepcopy(net)
    net.forward_iterates(batches(1)[0])
    with torch.no_grad():
        for mine, theirs in zip(other.buffers(), net.buffers()):
            mine.copy_(theirs)
    before, after = statistics(net), statistics(other)
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_training_on_the_last_iterate_learns_the_statistics_of_all():
    torch.manual_seed(0)
    net = resnet()
    other, x = copy.deepcopy(net), batches(1)[0]
    torch.testing.assert_close(net(x), other.forward_iterates(x)[-1])
    expected = statistics(other)
    for name, value in statistics(net).items():
        torch.testing.assert_close(value, expected[name])


def test_statistics_are_no_module_to_call():
    norm = nn.BatchNorm2d(4)
    AdaptiveRecurrentBlock(nn.Sequential(nn.Conv2d(4, 4, 1), norm), '0', (4, 2, 2))
    assert isinstance(norm.iterates, nn.BatchNorm2d)
    with pytest.raises(RuntimeError, match='call the batch norm that they belong to'):
        norm.iterates(torch.zeros(1, 4, 2, 2))
