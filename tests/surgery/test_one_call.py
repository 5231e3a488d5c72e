"""Networks made recurrent in one call."""

import copy
import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

import kaizen_mm
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import BagNet, CifarResNet
from kaizen_mm.surgery import RecurrentNetwork
from kaizen_mm.surgery.finding import find_blocks
from tests.surgery.thirty_networks import NETWORKS, build, row, table

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_networks_of_the_study_become_those_of_the_study(capsys):
    net = kaizen_mm.recurrent(BagNet(), X)
    assert "block=['block1', 'block2']" in net.call and net.num_iterations == 2
    assert net.recurrent_block.dynamic == ('block1.conv1', 'block1.conv2', 'block2.conv1', 'block2.conv2')
    assert net.recurrent_block.wrapped[0].conv1.weight.requires_grad
    assert (net.advice.weights_of_h, net.advice.weights) == (8090 - 6282, 6282)
    printed = capsys.readouterr().out
    assert net.call in printed and str(net.advice) in printed and 'The global adapter: inputs may be of any' in printed
    fixed = kaizen_mm.recurrent(BagNet(), X, fixed_size=True)
    assert fixed.advice.weights_of_h == 7306 - 6282
    assert (fixed.recurrent_block.adapter.pool_kernel, fixed.recurrent_block.adapter.alpha) == ((4, 4), 0.1)
    assert "The paper's adapter: inputs are of one size" in capsys.readouterr().out


CASES = {
    'bagnet': BagNet,
    'bagnet in 3D': lambda: BagNet(dims=3, stem=(8, 4, 4), widths=(8, 8)),
    'cifar': lambda: CifarResNet(8),
    'timm resnet': lambda: timm.create_model('test_resnet'),
    'timm vit': lambda: timm.create_model('test_vit', img_size=32),
    'timm efficientnet': lambda: timm.create_model('test_efficientnet'),
    'timm convnext': lambda: timm.create_model('test_convnext'),
    'layers': lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 169, 5)
    ),
    'vectors': lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 5)),
}
BLOCKS = {
    'bagnet': ['block1', 'block2'],
    'bagnet in 3D': ['block1', 'block2'],
    'cifar': ['layer1', 'layer2', 'layer3'],
    'timm resnet': ['layer1', 'layer2', 'layer3', 'layer4'],
    'timm vit': 'blocks',
    'timm efficientnet': 'blocks',
    'timm convnext': 'stages',
    'layers': '2',
    'vectors': '3',
}


@pytest.mark.parametrize('fixed_size', [False, True])
@pytest.mark.parametrize('case', CASES)
def test_the_printed_call_makes_the_same_network(case, fixed_size, capsys):
    torch.manual_seed(0)
    plain = CASES[case]().eval()
    x = torch.randn(2, 3, 16, 32, 32) if case == 'bagnet in 3D' else X
    copied, expected = copy.deepcopy(plain), plain(x)
    net = kaizen_mm.recurrent(plain, x, fixed_size=fixed_size, quiet=True)
    assert not capsys.readouterr().out
    names = [net.block_names[0]] if net.span is None else [*net.span.names]
    assert (names[0] if len(names) == 1 else names) == BLOCKS[case]
    again = eval(net.call, dict(RecurrentNetwork=RecurrentNetwork, network=copied, example_input=x))
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    assert {name: value.shape for name, value in again.state_dict().items()} == shapes
    assert again.recurrent_block.dynamic == net.recurrent_block.dynamic
    again.load_state_dict(net.state_dict())
    for net_y, again_y in zip(net.forward_iterates(x), again.forward_iterates(x)):
        torch.testing.assert_close(net_y, again_y)
    if not fixed_size:
        for y in net.forward_iterates(x):
            torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)


def test_everything_trains():
    torch.manual_seed(0)
    net = kaizen_mm.recurrent(CifarResNet(8), X, quiet=True).train()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):  # A begins at zero, so that what makes P_n has a gradient from the second step on
        optimizer.zero_grad()
        KaizenLoss(gamma_first=1)(net.forward_iterates(X), torch.tensor([0, 1])).backward()
        optimizer.step()
    assert all(p.requires_grad and p.grad is not None and p.grad.any() for p in net.parameters())


def test_h_is_kept_small_beside_the_network():
    """Forty layers of a hundred weights."""
    plain = nn.Sequential(
        nn.Conv2d(3, 10, 3, padding=1),
        *[nn.Sequential(nn.Conv2d(10, 10, 1), nn.ReLU(), nn.Conv2d(10, 10, 1)) for _ in range(20)],
    )
    net = kaizen_mm.recurrent(plain, X, quiet=True)
    assert set(net.recurrent_block.dynamic) == {f'{i}.0' for i in range(1, 21)}
    assert net.recurrent_block.adapter.global_rows.ranks == [1] * 20


def test_shortcuts_and_gates_are_left_out():
    (first, *_) = find_blocks(timm.create_model('seresnet18'), (X,), {})
    assert first.block == ['layer1', 'layer2', 'layer3', 'layer4']
    assert len(first.dynamic) == 16 and not any('downsample' in name or '.se.' in name for name in first.dynamic)


class Read(nn.Sequential):
    """Reads what is between its blocks, so that they cannot be put together."""

    def forward(self, x):
        x = self[0](x)
        y = self[1](x)
        return self[2](y).mean(dim=(2, 3)) + y.mean(dim=(2, 3))


def test_fewer_blocks_where_all_cannot_be_one():
    def block():
        return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

    net = kaizen_mm.recurrent(Read(nn.Conv2d(3, 8, 1), block(), block()), X, quiet=True)
    assert net.block_names == ('2',)


def test_one_layer_after_the_stages_is_none():
    """As in MobileNetV2, whose last convolution holds a good part of the multiply-adds."""

    def stage(channels):
        return nn.Sequential(nn.Conv2d(8, channels, 1), nn.ReLU(), nn.Conv2d(channels, 8, 1))

    last = nn.Sequential(nn.Conv2d(8, 16, 1), nn.ReLU())
    net = nn.Sequential(nn.Conv2d(3, 8, 1), stage(16), stage(16), last, nn.Flatten(2))
    assert find_blocks(net, (X,), {})[0].block == ['1', '2']


class Functions(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize(
    'make, x, options, message',
    [
        (Functions, X, {}, 'network: no block was found in Functions.*RecurrentNetwork'),
        (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), X, {}, 'no block was found in Sequential'),
        (BagNet, X[:, :2], {}, r'example_input: BagNet does not run on it .shapes \[\(2, 2, 32, 32\)\]'),
        (BagNet, X[:, :, :2], {}, 'example_input: BagNet does not run on it'),
        (BagNet, None, {}, 'example_input must be a tensor, a sequence .* got NoneType'),
        (BagNet, X, dict(num_iterations=1), 'num_iterations must be at least 2'),
        (BagNet, X, dict(num_iterations=0), 'num_iterations must be'),
        (BagNet, X, dict(fixed_size=1), 'fixed_size must be True or False'),
        (BagNet, X, dict(quiet=None), 'quiet must be True or False'),
        (lambda: kaizen_mm.recurrent(BagNet(), X, quiet=True), X, {}, 'RecurrentNetwork has a recurrent block already'),
    ],
)
def test_what_cannot_be_made_recurrent_is_named_and_left_as_it_was(make, x, options, message):
    net = make()
    names, modules = list(net.state_dict()), list(net.modules())
    with pytest.raises(ValueError, match=message):
        kaizen_mm.recurrent(net, x, **options)
    assert list(net.state_dict()) == names and list(net.modules()) == modules


def test_a_network_of_one_batch_size_and_mappings():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.block, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 2)

        def forward(self, *, images):
            return self.head(self.block(self.stem(images)).mean(dim=(2, 3)))

    net = kaizen_mm.recurrent(Named(), dict(images=X), quiet=True)
    assert net.block_names == ('block',) and net.advice.sees == (1, 1)


def test_the_table_of_networks():
    chosen = [network for network in NETWORKS if network.library == 'kaizen_mm' or network.name == 'mfnet2d_n9']
    lines = list(table(map(row, chosen)))
    assert len(lines) == 2 + len(chosen) and '| 4 of 32 x 4 of 32 |' in ''.join(lines)
    assert len(NETWORKS) >= 30 and {n.library for n in NETWORKS} >= {'timm', 'torchvision', 'mmpretrain', 'mmaction'}
    assert len({(n.library, n.name) for n in NETWORKS}) == len(NETWORKS)
    assert isinstance(build(NETWORKS[-1]), nn.Module)


def test_the_package_does_not_import_torch_for_it():
    code = 'import sys, kaizen_mm; assert hasattr(kaizen_mm, "recurrent") and not hasattr(kaizen_mm, "recurent")'
    subprocess.run([sys.executable, '-c', code], check=True)
