import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.introspection import recurrence_report
from kaizen_mm.models import RecurrentNetwork
from kaizen_mm.models.cifar_resnet import CifarResNet
from kaizen_mm.models.convert import RELEASES
from tests.test_configs import FOLDER

CONFIG = FOLDER / 'kaizen_resnet20_cifar10.py'
H = 'layer3.block3.block3_conv1_create_dy_w'


def released_checkpoint() -> dict:
    """A state dict with the names of the released network, of random values, all of which matter."""
    torch.manual_seed(0)
    state = {}
    for name, value in CifarResNet().state_dict().items():
        for block in range(3):
            name = name.replace(f'layer3.{block}.', f'layer3.block{block + 1}.')
        value = value.clone()
        if 'bn' in name and value.is_floating_point():
            value = value + 0.3 * torch.rand_like(value)
        state[name] = value
    state['w'] = state['layer3.block3.conv1.weight'].clone()
    state['layer3.block3.conv1.weight'] = torch.randn(64, 64, 3, 3)  # there, but not used
    state[f'{H}.weight'], state[f'{H}.bias'] = torch.randn(576, 32), torch.randn(576)
    return state


def released_logits(state, x, alpha) -> list:
    """The released network in functions, one weight per sample; the logits of both iterates, in evaluation."""

    def norm(name, y):
        return F.batch_norm(y, *(state[f'{name}.{s}'] for s in ('running_mean', 'running_var', 'weight', 'bias')))

    def end(name, y, x):
        z = norm(f'{name}.bn2', F.conv2d(F.relu(norm(f'{name}.bn1', y)), state[f'{name}.conv2.weight'], padding=1))
        channels = z.shape[1]
        if channels != x.shape[1]:
            wide = x.new_zeros(z.shape)
            wide[:, channels // 4 : channels // 4 + x.shape[1]] = x[:, :, ::2, ::2]
            x = wide
        return z, F.relu(z + x)

    y = F.relu(norm('bn1', F.conv2d(x, state['conv1.weight'], padding=1)))
    names = [f'layer{stage}.{block}' for stage in (1, 2) for block in range(3)] + ['layer3.block1', 'layer3.block2']
    for name in names:
        stride = 2 if name in ('layer2.0', 'layer3.block1') else 1
        y = end(name, F.conv2d(y, state[f'{name}.conv1.weight'], stride=stride, padding=1), y)[1]
    weights = state['w'].expand(len(x), -1, -1, -1, -1)
    logits = []
    for _ in range(2):
        conv = torch.cat([F.conv2d(sample[None], weight, padding=1) for sample, weight in zip(y, weights)])
        z, out = end('layer3.block3', conv, y)
        logits.append(F.linear(out.mean(dim=(2, 3)), state['linear.weight'], state['linear.bias']))
        average, maximum = F.avg_pool2d(z, 5, 2, 2), F.max_pool2d(z, 5, 2, 2)
        rows = torch.cat([average, maximum], dim=1).reshape(len(x), 64, 32)
        step = torch.tanh(F.linear(rows, state[f'{H}.weight'], state[f'{H}.bias']))
        weights = weights + alpha * step.reshape(weights.shape)
    return logits


@pytest.mark.parametrize('alpha', [1e-4, 0.05])  # the released one, and one that is felt
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_the_released_network_gives_the_same_logits(alpha, prefix):
    state, x = released_checkpoint(), torch.randn(4, 3, 32, 32)
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(CONFIG)
    cfg.model.backbone.alpha = alpha
    net = MODELS.build(cfg.model.backbone).eval()
    converted = RELEASES['resnet20'].convert({prefix + name: value for name, value in state.items()})
    net.load_state_dict(converted)  # strict: nothing is missing, nothing is left over
    expected = released_logits(state, x, alpha)
    with torch.no_grad():
        for (got,), want in zip(net(x), expected):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-5 * max(1, want.abs().max().item()))
    if alpha == 0.05:
        assert (expected[0] - expected[1]).abs().max() > 0.01
    names = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert names == {'wrapped.layer3.2.wrapped.conv1.weight'}


def test_the_recurrence_of_the_released_settings_does_nothing():
    torch.manual_seed(0)
    settings = Config.fromfile(CONFIG).model.backbone.to_dict()
    for name in ('type', 'backbone', 'input_shape'):
        settings.pop(name)
    net = RecurrentNetwork(CifarResNet(), example_input=torch.randn(2, 3, 32, 32), **settings)
    report = recurrence_report(net, torch.randn(8, 3, 32, 32))
    assert report.does_nothing and 'DOES NOTHING' in str(report)


def test_sizes_and_bad_input():
    assert sum(p.numel() for p in CifarResNet().parameters()) == 269_722
    assert CifarResNet(depth=8, num_classes=7)(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    with pytest.raises(ValueError, match='depth must be 6 n .* got 18'):
        CifarResNet(depth=18)
    with pytest.raises(ValueError, match="'w', .* are missing"):
        RELEASES['resnet20'].convert(CifarResNet().state_dict())


def test_shortcuts_of_a_convolution_and_other_widths():
    assert sum(p.numel() for p in CifarResNet(8, shortcut='B').parameters()) == 78_042
    net = CifarResNet(8, widths=(8, 8, 24), shortcut='B').eval()
    maps = []
    for stage in (net.layer1, net.layer2, net.layer3):
        stage.register_forward_hook(lambda module, inputs, output: maps.append(tuple(output.shape[1:])))
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert maps == [(8, 32, 32), (8, 16, 16), (24, 8, 8)]
    with torch.no_grad():
        block, x = net.layer3[0], torch.randn(1, 8, 4, 4)
        block.bn2.weight.zero_()
        torch.testing.assert_close(
            block(x), F.relu(F.conv2d(x, block.shortcut[0].weight, stride=2) / (1 + 1e-5) ** 0.5)
        )


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(shortcut='C'), r"shortcut must be one of \('A', 'B'\), got 'C'"),
        (dict(widths=(16, 32)), r'widths must be 3 positive ints, .* got \(16, 32\)'),
        (dict(widths=(16, 8, 32)), r"widths must not fall with shortcut='A', got \(16, 8, 32\)"),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        CifarResNet(8, **options)
