import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaizen_mm.models.mnist_cnn import MnistCNN, MnistCNNBig
from tests.layers.reference import recurrence


def network(num_iterations=None, **adapter):
    """In float64; with the weights of one plain network."""
    torch.manual_seed(0)
    plain = MnistCNN(num_classes=7)
    net = MnistCNN(num_classes=7, num_iterations=num_iterations, **adapter)
    net.load_state_dict(plain.state_dict(), strict=False)
    return net.double()


def images(count=3):
    return torch.rand(count, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(net, x):
    """What comes before ``fc1``, ``[N, 48]``."""
    x = F.max_pool2d(F.conv2d(x, net.conv1[0].weight).relu(), 2)
    return F.max_pool2d(F.conv2d(x, net.conv2[0].weight).relu(), 2).flatten(1)


@pytest.mark.parametrize(
    'build, options, expected',
    [
        (MnistCNN, dict(), 880),
        (MnistCNN, dict(num_iterations=1), 880),
        (MnistCNN, dict(num_iterations=2), 5_680),
        (MnistCNN, dict(num_iterations=4), 5_680),
        (MnistCNNBig, dict(), 5_685),
        (MnistCNN, dict(channels=(4, 5), units=7), 25 * (4 + 20) + 80 * 7 + 70),
        (MnistCNN, dict(channels=(4, 5), units=7, num_iterations=2), 25 * (4 + 20) + 80 * 7 * 8 + 70),
    ],
)
def test_parameter_counts(build, options, expected):
    assert sum(p.numel() for p in build(**options).parameters()) == expected


def test_the_plain_network_by_hand():
    net, x = network(), images()
    expected = F.linear(F.linear(by_hand(net, x), net.fc1.weight).relu(), net.fc2.weight)
    torch.testing.assert_close(net(x), expected)
    assert net(x).shape == (3, 7) and len(net.forward_iterates(x)) == 1


def test_the_enlarged_network_by_hand():
    torch.manual_seed(0)
    net, x = MnistCNNBig(num_classes=7).double(), images()
    weights = iter(net.parameters())
    y = x
    for padding, pooled in ((0, False), (2, True), (0, False), (2, False), (2, True)):
        y = F.conv2d(y, next(weights), padding=padding).relu()
        y = F.max_pool2d(y, 2) if pooled else y
    y = F.linear(F.linear(y.flatten(1), next(weights)).relu(), next(weights))
    assert next(weights, None) is None
    torch.testing.assert_close(net(x), y)
    assert [z.shape for z in net.forward_iterates(x)] == [(3, 7)]


def test_one_iteration_is_the_plain_network_to_the_bit():
    one, plain, x = network(1), network(), images()
    assert torch.equal(one(x), plain(x)) and len(one.forward_iterates(x)) == 1
    assert one.state_dict().keys() == plain.state_dict().keys()
    assert all(p.requires_grad for p in one.parameters())


@pytest.mark.parametrize(
    'adapter',
    [dict(alpha=3), dict(alpha=3, bound='tanh'), dict(alpha=3, shared_rows=True), dict(alpha=3, bias=True)],
    ids=str,
)
def test_iterates_are_those_of_the_loop_over_samples(adapter):
    net, x = network(4, **adapter), images()
    options = {'shared_rows': False, **adapter}
    options.pop('bias', None)
    fc1 = nn.Linear(48, 10, bias=False).double()
    fc1.weight.data = net.fc1.wrapped.weight.data
    zs = recurrence(fc1, net.fc1.adapter.linears, by_hand(net, x), [''], 4, **options)
    iterates = net.forward_iterates(x)
    for ours, z in zip(iterates, zs, strict=True):
        torch.testing.assert_close(ours, F.linear(z.relu(), net.fc2.weight))
    torch.testing.assert_close(iterates[0], network()(x))
    assert not torch.allclose(iterates[1], iterates[0], atol=1e-4), 'h has an effect'
    assert torch.equal(net(x), iterates[3])


def test_without_alpha_all_iterates_are_the_plain_network():
    net, x = network(3, alpha=0), images()
    for iterate in net.forward_iterates(x):
        torch.testing.assert_close(iterate, network()(x))


def test_h_is_one_full_layer_and_w_1_is_frozen():
    net = network(2, alpha=0.3)
    added = {name: p.shape for name, p in net.state_dict().items() if name not in network().state_dict()}
    assert added == {'fc1.adapter.linears.0.weight': (480, 10)}
    assert set(network().state_dict()) < set(net.state_dict()), 'the rest has the plain names'
    net(images()).square().sum().backward()
    trained = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {'conv1.0.weight', 'conv2.0.weight', 'fc1.adapter.linears.0.weight', 'fc2.weight'}


def test_arguments_that_cannot_be_used():
    with pytest.raises(ValueError, match=r"num_iterations must be given along with \['alpha'\], got None"):
        MnistCNN(alpha=1)
    with pytest.raises(ValueError, match='num_iterations must be an int from 1 to 1000, got 0'):
        MnistCNN(num_iterations=0)
    with pytest.raises(ValueError, match='alpha must be a finite number >= 0, got -1'):
        MnistCNN(num_iterations=2, alpha=-1)
    with pytest.raises(ValueError, match='pool_kernel must be None for a feedback vector, got 3'):
        MnistCNN(num_iterations=2, pool_kernel=3)
    with pytest.raises(ValueError, match='channels'):
        MnistCNN(channels=(3,))
    with pytest.raises(ValueError, match='units must be an int >= 1, got 0'):
        MnistCNN(units=0)
    for num_iterations in (1, 2):
        with pytest.raises(TypeError, match='alhpa'):
            MnistCNN(num_iterations=num_iterations, alhpa=1)
