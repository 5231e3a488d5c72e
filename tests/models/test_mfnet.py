import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import (
    MFNet,
    kaizen_mfnet2d,
    kaizen_mfnet2d_n9,
    kaizen_mfnet3d_n9,
    mfnet2d,
    mfnet2d_n9,
    mfnet3d,
    mfnet3d_n9,
)
from tests.layers.reference import recurrence

# networks of nine units for tiny inputs, [N, 3, (4,) 64, 64]: the last maps are 2 (x 2) x 2
TINY = {
    2: dict(build=mfnet2d_n9, size=(64, 64), pool=((2, 2), (1, 1), (1, 0))),
    3: dict(build=mfnet3d_n9, size=(4, 64, 64), pool=((2, 2, 1), (1, 1, 1), (0, 0, 0))),
}
DYNAMIC = ('conv_i1.conv', 'conv_i2.conv')
two_and_three = pytest.mark.parametrize('dims', [2, 3])


def randomized(net):
    """Norms that do more than the fresh ones."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.3)
    return net


def plain(dims, **options):
    torch.manual_seed(0)
    return randomized(TINY[dims]['build'](**{'num_classes': 5, **options}))


def recurrent(dims, num_iterations=3, **options):
    """The network of :func:`plain` with a recurrent last unit."""
    pool = dict(zip(('pool_kernel', 'pool_stride', 'pool_padding'), TINY[dims]['pool']))
    net = TINY[dims]['build'](
        num_iterations=num_iterations,
        input_size=TINY[dims]['size'],
        **{'num_classes': 5, 'alpha': 0.01, **pool, **options},
    )
    net.load_state_dict(plain(dims).state_dict(), strict=False)
    return net


def tiny_input(dims, batch=2, seed=1):
    torch.manual_seed(seed)
    return torch.randn(batch, 3, *TINY[dims]['size'])


def on_meta(build, **options):
    with torch.device('meta'):
        return build(**options).eval()


@pytest.mark.parametrize(
    'build, num_classes, expected',
    [
        (mfnet3d, 400, 7_996_368),
        (mfnet3d, 101, 7_766_437),
        (mfnet3d, 51, 7_727_987),
        (mfnet3d_n9, 101, 496_921),
        (mfnet3d_n9, 51, 487_271),
        (mfnet2d, 1000, 5_716_488),
    ],
)
def test_parameter_counts(build, num_classes, expected):
    net = on_meta(build, num_classes=num_classes)
    assert sum(p.numel() for p in net.parameters()) == expected


@pytest.mark.parametrize(
    'build, num_classes, size, expected', [(mfnet3d, 400, (16, 224, 224), 11.05e9), (mfnet2d, 1000, (224, 224), 0.86e9)]
)
def test_multiply_adds(build, num_classes, size, expected):
    net, counts = on_meta(build, num_classes=num_classes), []
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            module.register_forward_hook(lambda m, inputs, y: counts.append(y.numel() * m.weight[0].numel()))
    net(torch.empty(1, 3, *size, device='meta'))
    assert abs(sum(counts) - expected) < 0.005e9
    assert len(counts) == 1 + 16 * 4 + 4 + 1  # stem, four in each unit, shortcuts, classifier


@pytest.mark.parametrize('build', [mfnet3d, mfnet2d, mfnet3d_n9])
def test_names_are_those_of_the_original_release(build):
    net = on_meta(build)
    names = set(net.state_dict())
    assert {
        'conv1.conv.weight',
        'conv1.bn.running_mean',
        'conv2.B01.conv_i1.bn.weight',
        'conv2.B01.conv_w1.conv.weight',
        'conv3.B03.conv_m1.conv.weight',
        'conv5.B02.conv_m2.bn.bias',
        'tail.bn.num_batches_tracked',
        'classifier.weight',
        'classifier.bias',
    } <= names
    units = {name.split('.conv_i1')[0] for name in names if '.conv_i1.conv' in name}
    counts = (1, 3, 3, 2) if build is mfnet3d_n9 else (3, 4, 6, 3)
    assert units == {f'conv{s + 2}.B{u + 1:02d}' for s, count in enumerate(counts) for u in range(count)}
    assert {name.split('.')[1] for name in names if 'conv_w1' in name} == {'B01'}
    assert not [name for name in names if name.endswith('conv.bias')]


@pytest.mark.parametrize(
    'build, size, expected',
    [
        (mfnet3d, (16, 224, 224), (768, 8, 7, 7)),
        (mfnet3d, (16, 112, 112), (768, 8, 4, 4)),
        (mfnet3d, (8, 160, 192), (768, 4, 5, 6)),
        (mfnet3d, (33, 64, 64), (768, 17, 2, 2)),
        (mfnet2d, (224, 224), (768, 7, 7)),
        (mfnet2d, (112, 112), (768, 4, 4)),
        (mfnet2d_n9, (97, 33), (192, 4, 2)),
    ],
)
def test_the_plain_network_takes_any_size(build, size, expected):
    net = on_meta(build, num_classes=7)
    x = torch.empty(2, 3, *size, device='meta')
    assert net.forward_features(x).shape == (2, *expected)
    assert net(x).shape == (2, 7)


def unit_by_hand(state, name, x, stride, groups):
    """A multi-fiber unit in functions: every convolution comes after batch norm and ReLU."""
    conv = {4: F.conv2d, 5: F.conv3d}[x.dim()]

    def part(part_name, x, stride=1, groups=1):
        bn, weight = (f'{name}.{part_name}.bn.', state[f'{name}.{part_name}.conv.weight'])
        x = F.batch_norm(x, *(state[bn + n] for n in ('running_mean', 'running_var', 'weight', 'bias')))
        return conv(x.relu(), weight, None, stride, tuple(k // 2 for k in weight.shape[2:]), 1, groups)

    first = f'{name}.conv_w1.conv.weight' in state
    h = x + part('conv_i2', part('conv_i1', x))
    h = part('conv_m2', part('conv_m1', h, stride, groups), 1, 1 if first else groups)
    return h + (part('conv_w1', x, stride) if first else x)


@two_and_three
def test_equals_the_network_by_hand(dims):
    net = plain(dims).double().eval()
    x = tiny_input(dims).double()
    state = net.state_dict()
    conv, pool, low = (F.conv2d, F.max_pool2d, ()) if dims == 2 else (F.conv3d, F.max_pool3d, (1,))
    statistics = ('running_mean', 'running_var', 'weight', 'bias')
    y = conv(x, state['conv1.conv.weight'], None, (*low, 2, 2), (*low, 2, 2))
    y = F.batch_norm(y, *(state[f'conv1.bn.{n}'] for n in statistics)).relu()
    y = pool(y, (*low, 3, 3), (*low, 2, 2), (*(0 for _ in low), 1, 1))
    for stage, units in zip((2, 3, 4, 5), (1, 3, 3, 2)):
        for unit in range(1, units + 1):
            time, space = (2, 1) if stage == 2 else (1, 2)
            stride = (*(time for _ in low), space, space) if unit == 1 else 1
            y = unit_by_hand(state, f'conv{stage}.B{unit:02d}', y, stride, 8)
    y = F.batch_norm(y, *(state[f'tail.bn.{n}'] for n in statistics)).relu()
    torch.testing.assert_close(net.forward_features(x), y)
    y = F.linear(y.mean(dim=tuple(range(2, dims + 2))), state['classifier.weight'], state['classifier.bias'])
    torch.testing.assert_close(net(x), y)


@two_and_three
def test_the_layout_of_the_input_does_not_matter(dims):
    last = (torch.channels_last, torch.channels_last_3d)[dims - 2]
    for net in (plain(dims).eval(), recurrent(dims).eval()):
        x = tiny_input(dims)
        y = net.forward_features(x)
        assert y.is_contiguous(memory_format=last)
        assert torch.equal(y, net.forward_features(x.to(memory_format=last)))
        assert next(net.parameters()).is_contiguous()


@pytest.mark.parametrize('training', [True, False])
@two_and_three
def test_the_first_iterate_is_the_plain_network(dims, training):
    x = tiny_input(dims)
    iterates = recurrent(dims, alpha=0.1).train(training).forward_iterates(x)
    assert len(iterates) == 3
    torch.testing.assert_close(iterates[0], plain(dims).train(training)(x))
    assert (iterates[1] - iterates[0]).abs().max() > 1e-4
    for y in recurrent(dims, alpha=0.0).train(training).forward_iterates(x):
        torch.testing.assert_close(y, iterates[0])


@two_and_three
def test_one_iteration_is_the_plain_network(dims):
    one, x = recurrent(dims, 1).eval(), tiny_input(dims)
    one.load_state_dict(plain(dims).state_dict())
    assert all(p.requires_grad for p in one.parameters())
    assert len(one.forward_iterates(x)) == 1
    assert torch.equal(one(x), plain(dims).eval()(x))


@two_and_three
def test_the_recurrent_unit_equals_the_per_sample_loop(dims):
    net = recurrent(dims, alpha=0.1).double().eval()
    u = torch.randn(2, 192, *[2] * dims, dtype=torch.float64)
    unit = copy.deepcopy(plain(dims).conv5[-1]).double().eval()
    linears = net.recurrent_block.adapter.linears
    expected = recurrence(unit, linears, u, DYNAMIC, 3, alpha=0.1, feedback='conv_m2', pool=TINY[dims]['pool'])
    torch.testing.assert_close(list(net.recurrent_block(u)), expected)
    assert (expected[2] - expected[1]).abs().max() > 1e-3


@pytest.mark.parametrize('num_iterations', [2, 3])
@two_and_three
def test_every_trainable_parameter_gets_a_gradient(dims, num_iterations):
    net = recurrent(dims, num_iterations)
    iterates = net.forward_iterates(tiny_input(dims))
    assert len(iterates) == num_iterations and all(y.shape == (2, 5) for y in iterates)
    KaizenLoss()(iterates, torch.tensor([0, 3])).backward()
    frozen = {f'conv5.B02.wrapped.{name}.weight' for name in DYNAMIC}
    assert {name for name, p in net.named_parameters() if not p.requires_grad} == frozen
    for name, parameter in net.named_parameters():
        if name in frozen:
            assert parameter.grad is None
        else:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_freezing_the_dynamic_layers():
    x, target = tiny_input(2), torch.tensor([0, 3])
    moving, frozen = recurrent(2, alpha=0.1, freeze_dynamic=False), recurrent(2, alpha=0.1)
    for net in (moving, frozen):
        KaizenLoss()(net.forward_iterates(x), target).backward()
    assert all(p.requires_grad and p.grad.any() for p in moving.parameters())
    dynamic = {name for name, p in frozen.named_parameters() if not p.requires_grad}
    assert dynamic == {f'conv5.B02.wrapped.{name}.weight' for name in DYNAMIC}


@two_and_three
def test_autocast_is_near_single_precision(dims):
    net, x = recurrent(dims).eval(), tiny_input(dims)
    with torch.no_grad():
        expected = torch.stack(net.forward_iterates(x))
        with torch.autocast('cpu', torch.bfloat16):
            iterates = torch.stack(net.forward_iterates(x))
    assert iterates.dtype == torch.bfloat16
    assert (iterates.float() - expected).norm() < 0.03 * expected.norm()


def test_outputs_fit_together():
    net, x = recurrent(3).eval(), tiny_input(3)
    features = net.forward_feature_iterates(x)
    assert isinstance(features, tuple) and [f.shape for f in features] == [(2, 192, 2, 2, 2)] * 3
    assert torch.equal(net.forward_features(x), features[-1])
    iterates = net.forward_iterates(x)
    assert all(torch.equal(net.forward_head(f), y) for f, y in zip(features, iterates))
    assert torch.equal(net(x), iterates[-1]) and not torch.equal(iterates[0], iterates[-1])
    headless = plain(3, num_classes=0).eval()
    pooled = headless.forward_features(x).mean(dim=(2, 3, 4))
    torch.testing.assert_close(headless(x), pooled)
    assert len(headless.forward_iterates(x)) == 1


@pytest.mark.parametrize('norm_statistics', ['per_iterate', 'shared'])
def test_the_tail_has_statistics_of_its_own_for_each_iterate(norm_statistics):
    net = recurrent(2, norm_statistics=norm_statistics, alpha=0.1)
    net.tail.wrapped.bn.momentum = 1.0
    seen = []
    handle = net.tail.wrapped.bn.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0].mean(dim=(0, 2, 3))))
    net.forward_iterates(tiny_input(2))
    handle.remove()
    own = net.tail.wrapped.bn.running_mean
    if norm_statistics == 'shared':
        assert not hasattr(net.tail.wrapped.bn, 'iterates')
        torch.testing.assert_close(own, seen[2])
    else:
        torch.testing.assert_close(torch.stack([own, *net.tail.wrapped.bn.iterates.running_mean]), torch.stack(seen))
    assert (seen[0] - seen[2]).abs().max() > 1e-4


@pytest.mark.parametrize('norm_statistics', ['per_iterate', 'shared'])
@two_and_three
def test_checkpoints_of_the_plain_and_the_recurrent_network(dims, norm_statistics):
    net, source = recurrent(dims, norm_statistics=norm_statistics), plain(dims)
    nn.init.normal_(source.classifier.weight)
    missing, unexpected = net.load_state_dict(source.state_dict(), strict=False)
    assert len(missing) == 2 and all('.adapter.' in name for name in missing) and not unexpected
    added = set(net.state_dict()) - set(source.state_dict())
    assert set(source.state_dict()) <= set(net.state_dict())
    assert all('.adapter.' in n or '.iterates.' in n for n in added)
    assert any('.iterates.' in n for n in added) == (norm_statistics == 'per_iterate')
    back, x = plain(dims), tiny_input(dims)
    assert set(back.load_state_dict(net.state_dict(), strict=False)[1]) == added
    assert torch.equal(back.eval()(x), source.eval()(x))
    net.train()(2 * x)
    other = recurrent(dims, norm_statistics=norm_statistics)
    other.load_state_dict(net.state_dict())
    for a, b in zip(other.eval().forward_iterates(x), net.eval().forward_iterates(x)):
        assert torch.equal(a, b)


def test_num_iterations_may_change():
    net, x = recurrent(2), tiny_input(2)
    net(x)
    expected = net.eval().forward_iterates(x)
    for k in (5, 1, 2):
        net.num_iterations = k
        iterates = net.forward_iterates(x)
        assert net.num_iterations == net.recurrent_block.num_iterations == len(iterates) == k
        assert all(torch.equal(a, b) for a, b in zip(iterates, expected))
    assert len(net.tail.wrapped.bn.iterates) == len(net.recurrent_block.wrapped.conv_m2.bn.iterates) == 4
    for value in (0, 1.5):
        with pytest.raises(ValueError, match=f'num_iterations must be an int from 1 to 1000, got {value}'):
            net.num_iterations = value
    with pytest.raises(ValueError, match='num_iterations cannot become 2: .* no adapter; build it with at least 2'):
        recurrent(2, 1).num_iterations = 2
    assert plain(2).num_iterations is None and plain(2).recurrent_block is None
    with pytest.raises(ValueError, match='num_iterations cannot become 2: this network is plain; build it with'):
        plain(2).num_iterations = 2


def test_defaults_of_the_recurrent_networks():
    video, image = on_meta(kaizen_mfnet3d_n9), on_meta(kaizen_mfnet2d)
    for net, shape, kernel, stride in (
        (video, (192, 8, 7, 7), (5, 3, 3), (4, 1, 1)),
        (image, (768, 7, 7), (3, 3), (1, 1)),
        (on_meta(kaizen_mfnet2d_n9), (192, 7, 7), (3, 3), (1, 1)),
    ):
        block, adapter = net.recurrent_block, net.recurrent_block.adapter
        assert isinstance(net.conv5[-1], AdaptiveRecurrentBlock) and net.num_iterations == 3
        assert (block.dynamic, block.feedback, block.norm_statistics) == (DYNAMIC, 'conv_m2', 'per_iterate')
        assert (adapter.feedback_shape, adapter.pool_kernel, adapter.pool_stride) == (shape, kernel, stride)
        assert adapter.alpha == 1e-3 and adapter.bound is None and adapter.low_rank


@pytest.mark.parametrize(
    'build, options, message',
    [
        (partial(MFNet, 4), dict(), 'dims must be 2 or 3, got 4'),
        (mfnet2d_n9, dict(widths=(24, 48, 96)), r'widths must be 4 positive ints, one per stage, got \(24, 48, 96\)'),
        (mfnet2d_n9, dict(units=(1, 3, 0, 2)), r'units must be 4 positive ints, one per stage, got \(1, 3, 0, 2\)'),
        (mfnet2d_n9, dict(groups=5), r'groups must divide 16 .* got groups=5, widths=\(24, 48, 96, 192\)'),
        (mfnet2d_n9, dict(groups=0), 'groups must divide 16 .* got groups=0'),
        (mfnet2d_n9, dict(groups=1, widths=(24, 48, 96, 190)), r'4 must divide all widths; .*190\)'),
        (mfnet2d_n9, dict(alpha=0.1), r"num_iterations must be given along with \['alpha'\], got None"),
        (mfnet2d_n9, dict(num_iterations=0), 'num_iterations must be an int from 1 to 1000, got 0'),
        (
            mfnet2d_n9,
            dict(num_iterations=2, input_size=(16, 64, 64)),
            r'input_size must be 2 positive ints, \(H, W\), got \(16, 64, 64\)',
        ),
        (
            mfnet3d_n9,
            dict(num_iterations=2, input_size=(64, 64)),
            r'input_size must be 3 positive ints, \(T, H, W\), got \(64, 64\)',
        ),
        (mfnet2d_n9, dict(num_iterations=2, input_size=64), r'input_size must be 2 positive ints, \(H, W\), got 64'),
        (
            mfnet2d_n9,
            dict(num_iterations=2, input_size=(64, 64)),
            r'pool_kernel \(3, 3\) .* size \(2, 2\); use a larger',
        ),
        (mfnet2d_n9, dict(global_pool='mean'), r"global_pool must be one of .*'avgmax', ''\), got 'mean'"),
        (
            mfnet2d_n9,
            dict(global_pool=''),
            "global_pool='' keeps the map and needs num_classes=0, got num_classes=1000",
        ),
        (mfnet2d_n9, dict(num_classes=2.5), 'num_classes must be an int >= 0, got 2.5'),
        (mfnet2d_n9, dict(in_chans=0), 'in_chans must be an int >= 1, got 0'),
        (mfnet2d_n9, dict(drop_rate=-1), 'drop_rate must be a number from 0 to 1, got -1'),
        (mfnet2d_n9, dict(num_iterations=2, norm_statistics='none'), "norm_statistics must be one of .* got 'none'"),
    ],
)
def test_arguments_that_cannot_be_used(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize('options', [dict(alfa=0.1), dict(num_iterations=2, alfa=0.1)])
def test_unknown_arguments(options):
    with pytest.raises(TypeError, match=r"unknown arguments \['alfa'\]; MFNet takes dims, widths, .* alpha, "):
        mfnet2d_n9(**options)


def test_another_input_size_than_the_network_was_built_for():
    with pytest.raises(ValueError, match=r'feedback map has shape \(192, 3, 3\) .* built for \(192, 2, 2\)'):
        recurrent(2)(torch.randn(2, 3, 96, 96))
