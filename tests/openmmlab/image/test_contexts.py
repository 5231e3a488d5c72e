"""A BagNet whose contexts and layers come from configs: timm's modules by their whole names, against plain loops."""

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from kaizen_mm.models import BagNet


def built(**context):
    torch.manual_seed(0)
    net = MODELS.build(dict(type='BagNet2d', contexts=[None, dict(channels=32, **context)])).double().eval()
    module = net.block2.context
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return net, module, torch.randn(2, 32, 2, 3, dtype=torch.float64, requires_grad=True)


def alike(module, y, expected, x):
    torch.testing.assert_close(y, expected)
    wanted = [x, *module.parameters()]
    for got, reference in zip(
        torch.autograd.grad(y.square().sum(), wanted), torch.autograd.grad(expected.square().sum(), wanted)
    ):
        torch.testing.assert_close(got, reference)


def gates(values, first, last, norm=None):
    """``[C] -> [C]``: two linear layers of one sample's vector, and a sigmoid."""
    hidden = first.weight.flatten(1) @ values + first.bias
    if norm is not None:
        hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + norm.eps).sqrt() * norm.weight + norm.bias
    return 1 / (1 + (-(last.weight.flatten(1) @ hidden.clamp(min=0) + last.bias)).exp())


def test_squeeze_and_excitation():
    _, module, x = built(type='timm.layers.SqueezeExcite', rd_channels=5)
    expected = torch.stack([sample * gates(sample.mean((1, 2)), module.fc1, module.fc2)[:, None, None] for sample in x])
    alike(module, module(x), expected, x)


def test_global_context():
    _, module, x = built(type='timm.layers.GlobalContext', rd_channels=5)
    rows = []
    for sample in x:
        scores = [
            module.conv_attn.weight.flatten() @ column + module.conv_attn.bias[0] for column in sample.flatten(1).T
        ]
        total = sum(score.exp() for score in scores)
        context = sum(score.exp() / total * column for score, column in zip(scores, sample.flatten(1).T))
        scale = module.mlp_scale
        rows.append(sample * gates(context, scale.fc1, scale.fc2, scale.norm)[:, None, None])
    alike(module, module(x), torch.stack(rows), x)


@pytest.mark.parametrize('last, kind', [('fc2', 'SqueezeExcite'), ('mlp_scale.fc2', 'GlobalContext')])
def test_with_open_gates_the_network_is_the_plain_one_to_the_bit(last, kind):
    net, module, _ = built(type=f'timm.layers.{kind}', rd_channels=5)
    nn.init.zeros_(module.get_submodule(last).weight)
    nn.init.constant_(module.get_submodule(last).bias, 1e3)
    plain = BagNet(num_classes=0).double().eval()
    plain.load_state_dict({key: value for key, value in net.state_dict().items() if '.context.' not in key})
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    assert torch.equal(net(images)[-1], plain(images))


def test_h_in_one_pass_gives_one_iterate_and_the_names_of_the_network():
    cfg = dict(
        type='InputAdaptedBackbone',
        backbone=dict(type='BagNet2d'),
        dynamic=['block1.conv1'],
        input_shape=(3, 32, 32),
        pool_kernel=4,
        pool_stride=4,
    )
    net = MODELS.build(cfg)
    iterates = net(torch.randn(2, 3, 32, 32))
    assert len(iterates) == 1 and iterates[0][0].shape == (2, 32, 8, 8)
    added = set(net.state_dict()) - set(BagNet(num_classes=0).state_dict())
    assert added == {'block1.conv1.adapter.linears.0.weight'}
    (last,) = MODELS.build(dict(cfg, last_iterate=True))(torch.randn(2, 3, 32, 32))
    assert last.shape == (2, 32, 8, 8), 'what the backbone gives'


@pytest.mark.parametrize(
    'cfg, error, message',
    [
        (dict(type='BagNet2d', contexts=3), ValueError, 'contexts must be a list of configs or None, one for each'),
        (dict(type='BagNet2d', contexts=[dict(type='DepthwiseContext', dims=2, channels=32)]), ValueError, '2 modules'),
        (dict(type='BagNet2d', contexts=[None, dict(type='NoSuchContext')]), KeyError, 'NoSuchContext'),
        (
            dict(type='InputAdaptedBackbone', backbone=dict(type='BagNet2d'), dynamic=['conv1'], input_shape=3),
            ValueError,
            'input_shape must be positive ints, of one input, got 3',
        ),
        (
            dict(
                type='InputAdaptedBackbone',
                backbone=dict(type='BagNet2d'),
                dynamic=['conv1'],
                input_shape=(3, 32, 32),
                last_iterate=1,
            ),
            ValueError,
            'last_iterate must be True or False, got 1',
        ),
    ],
)
def test_bad_arguments(cfg, error, message):
    with pytest.raises(error, match=message):
        MODELS.build(cfg)
