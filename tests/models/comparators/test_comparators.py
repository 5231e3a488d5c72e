"""The networks that MFNet is compared with: their parameters, shapes, gradients and iterates, and each against a plain
loop."""

import pytest
import torch
from torch import nn

from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models.comparators import ConvRNN, CORnetRT, CORnetS, CORnetZ, FeedbackNet, IamNN, ShaResNet
from tests.models.comparators import reference

# kind, arguments, iterates, parameters with 1000 classes
FULL = [
    (CORnetS, {}, 2, 53_416_616),  # counted in the public release
    (CORnetZ, {}, 1, 2_071_656),
    (CORnetRT, {}, 2, 5_208_936),
    (ShaResNet, {}, 1, 13_613_864),  # published: 13.6 M
    (ShaResNet, dict(depth=18), 1, 8_556_072),
    (IamNN, {}, 3, 4_953_836),  # published: 5 M
    (IamNN, dict(num_iterations=1), 1, 4_863_976),  # published: 4.8 M
    (FeedbackNet, {}, 4, 2_029_832),
    (ConvRNN, {}, 7, 15_591_208),  # published, of the searched network: 15.5 M
]
NARROW = {CORnetRT: dict(width=0.5), FeedbackNet: dict(width=0.5), ConvRNN: dict(width=0.0625, num_iterations=3)}
KINDS = [CORnetS, CORnetZ, CORnetRT, ShaResNet, IamNN, FeedbackNet, ConvRNN]
SIZES = {ConvRNN: 64, FeedbackNet: 16}
PLAIN_LOOPS = {
    CORnetS: lambda net, w, x: reference.cornet_s(w, x, net.times),
    CORnetZ: lambda net, w, x: reference.cornet_z(w, x),
    CORnetRT: lambda net, w, x: reference.cornet_rt(w, x, net.times),
    ShaResNet: lambda net, w, x: reference.sharesnet(w, x, (3, 4, 6, 3)),
    IamNN: lambda net, w, x: reference.iamnn(w, x, net.iterations, net.widths, 0.01)[0],
    FeedbackNet: lambda net, w, x: reference.feedback_net(w, x, net.num_iterations),
    ConvRNN: lambda net, w, x: reference.conv_rnn(w, x, net.num_iterations),
}


def narrow(kind, **kwargs):
    torch.manual_seed(0)
    return kind(**{'width': 0.125, 'num_classes': 5, **NARROW.get(kind, {}), **kwargs})


def images(kind, count=2, size=None):
    size = size or SIZES.get(kind, 32)
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def trained_statistics(net, x):
    """Takes running statistics from a few images, so that each norm, and each iterate, has its own."""
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(x)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.2)
    return net.eval()


@pytest.mark.parametrize('kind, kwargs, iterates, parameters', FULL)
def test_parameters_and_iterates_of_the_full_networks(kind, kwargs, iterates, parameters):
    with torch.device('meta'):
        net = kind(**kwargs)
    assert sum(p.numel() for p in net.parameters()) == parameters and net.num_iterations == iterates


@pytest.mark.parametrize('kind, size', [*((kind, None) for kind in KINDS), (ConvRNN, 65)])
def test_the_network_is_that_of_a_plain_loop(kind, size):
    x = images(kind, count=3, size=size)
    net = trained_statistics(narrow(kind), x)
    if kind is IamNN:  # images that halt at different iterations
        for stage in net.stages:
            nn.init.normal_(stage.halting.weight)
    for module in net.modules():  # all start from zero, and would hide a step that is left out
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.bias, 0.0, 0.5)
    with torch.no_grad():
        ours = net.forward_feature_iterates(x)
        expected = PLAIN_LOOPS[kind](net, net.state_dict(), x)
    assert len(ours) == len(expected) == net.num_iterations
    for one, other in zip(ours, expected):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_shapes_gradients_and_iterates(kind):
    net, x = narrow(kind, drop_rate=0.1), images(kind)
    iterates = net.forward_feature_iterates(x)
    side = 4 if kind is FeedbackNet else 1
    assert [tuple(y.shape) for y in iterates] == [(2, net.num_features, side, side)] * net.num_iterations
    KaizenLoss(gamma_first=1.0, gamma_others=1.0)(net.forward_iterates(x), torch.tensor([0, 1])).backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    without = {name for name, grad in gradients.items() if grad is None or not torch.isfinite(grad).all()}
    assert not without
    net.eval()
    with torch.no_grad():
        logits = net.forward_iterates(x)
        assert torch.equal(net(x), logits[-1]) and logits[-1].shape == (2, 5)
        for one, other in zip(logits, logits[1:]):
            assert not torch.allclose(one, other)
        # another size
        assert net(images(kind, size=96)).shape == (2, 5)


@pytest.mark.parametrize('kind', KINDS)
def test_the_methods_that_timm_asks_of_a_network(kind):
    net, x = narrow(kind).eval(), images(kind)
    assert net.get_classifier() is net.classifier
    with torch.no_grad():
        features = net.forward_features(x)
        pooled = net.forward_head(features, pre_logits=True)
        torch.testing.assert_close(pooled, features.mean(dim=(2, 3)))
        net.reset_classifier(7)
        assert net(x).shape == (2, 7)
        net.reset_classifier(0, '')
        assert torch.equal(net(x), features)
        net.reset_classifier(3, 'avgmax')
        torch.testing.assert_close(
            net.forward_head(features, pre_logits=True), 0.5 * (features.mean(dim=(2, 3)) + features.amax(dim=(2, 3)))
        )


@pytest.mark.parametrize(
    'kind, kwargs, message',
    [
        (CORnetS, dict(times=(2, 0, 2)), r'times must be 3 positive ints, one each for V2, V4 and IT, got \(2, 0, 2\)'),
        (CORnetS, dict(times=2), r'times must be 3 positive ints'),
        (CORnetS, dict(width=0), r'width must be a factor of the channels above 0, got 0'),
        (CORnetS, dict(width=-1.0), r'width must be a finite number >= 0, got -1.0'),
        (CORnetS, dict(input_size=31), r'input_size must be at least 32 pixels high and wide .* got \(31, 31\)'),
        (CORnetZ, dict(input_size=(64, 16)), r'input_size must be at least 32 pixels high and wide .* got \(64, 16\)'),
        (CORnetZ, dict(in_chans=0), r'in_chans must be an int >= 1, got 0'),
        (CORnetRT, dict(times=3), r'times must be an int >= 4, .* got 3'),
        (ShaResNet, dict(depth=50), r'depth must be one of \(18, 34\), got 50'),
        (ShaResNet, dict(depth=True), r'depth must be one of \(18, 34\), got True'),
        (ShaResNet, dict(depth=[34]), r'depth must be one of \(18, 34\), got \[34\]'),
        (ShaResNet, dict(num_classes=-1), r'num_classes must be an int >= 0, got -1'),
        (IamNN, dict(num_iterations=0), r'num_iterations must be an int >= 1, got 0'),
        (IamNN, dict(num_iterations=(3, 4)), r'num_iterations must be 4 positive ints, one per stage'),
        (IamNN, dict(epsilon=2), r'epsilon must be a number from 0 to 1, got 2'),
        (FeedbackNet, dict(num_iterations=0), r'num_iterations must be an int >= 1, got 0'),
        (FeedbackNet, dict(stem='large'), r"stem must be one of \('small', 'imagenet'\), got 'large'"),
        (FeedbackNet, dict(widths=(16, 8, 32, 64, 64)), r'widths must not fall, got \(16, 8, 32, 64, 64\)'),
        (FeedbackNet, dict(norm_statistics='own'), r'norm_statistics must be one of'),
        (FeedbackNet, dict(stem='imagenet', input_size=8), r'input_size must be at least 16 pixels'),
        (ConvRNN, dict(num_iterations=-1), r'num_iterations must be an int >= 1, got -1'),
        (ConvRNN, dict(memory=0), r'memory must be an int >= 1, got 0'),
        (ConvRNN, dict(input_size=31), r'input_size must be at least 32 pixels'),
    ],
)
def test_bad_arguments_are_named_at_construction(kind, kwargs, message):
    with pytest.raises(ValueError, match=message):
        kind(**kwargs)


@pytest.mark.parametrize('kind', KINDS)
def test_an_image_too_small_for_the_strides_is_refused(kind):
    net = narrow(kind)
    with pytest.raises(ValueError, match=rf'input must be at least {net.smallest} pixels high and wide'):
        net(torch.zeros(2, 3, net.smallest, net.smallest - 1))


def test_sharesnet_shares_the_second_convolution_within_a_stage_alone():
    net = narrow(ShaResNet)
    shared = [stage.conv2.weight for stage in net.stages]
    assert len({id(weight) for weight in shared}) == 4
    assert all('conv2' not in name for stage in net.stages for name, _ in stage.blocks.named_parameters())


def test_feedback_net_keeps_running_statistics_per_iterate():
    x = images(FeedbackNet, count=4)
    per_iterate, shared = (narrow(FeedbackNet, norm_statistics=kind) for kind in ('per_iterate', 'shared'))
    assert not any('.iterates.' in key for key in shared.state_dict())
    for net in (per_iterate, shared):  # in training it makes no difference
        net.train()
    torch.testing.assert_close(per_iterate.forward_iterates(x), shared.forward_iterates(x))
    rows = per_iterate.lstms[3].hidden_path.bn1.iterates.running_mean
    assert rows.shape[0] == 3 and not torch.allclose(rows[0], rows[2])


def test_one_iteration_of_feedback_net_and_conv_rnn_is_the_first_of_several():
    for kind in (FeedbackNet, ConvRNN):
        x = images(kind)
        one, three = narrow(kind, num_iterations=1).eval(), narrow(kind, num_iterations=3).eval()
        one.load_state_dict({k: v for k, v in three.state_dict().items() if '.iterates.' not in k})
        torch.testing.assert_close(one.forward_iterates(x)[0], three.forward_iterates(x)[0])
