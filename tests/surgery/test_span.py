"""Consecutive submodules as one block: the plain network at the start, the names of its weights, and what cannot be
one."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from kaizen_mm.models import RecurrentNetwork, mfnet2d_n9, mfnet3d_n9
from kaizen_mm.surgery.span import InSpan


class Stage(nn.Module):
    def __init__(self, channels, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride] + self.conv2(F.relu(self.bn1(self.conv1(x))))


class Net(nn.Module):
    """Four stages and a classifier; with ``extra`` the second stage is read twice."""

    def __init__(self, extra=False):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, 2)
        self.stage1, self.stage2, self.stage3, self.stage4 = (Stage(4, stride) for stride in (1, 1, 2, 1))
        self.norm, self.classifier, self.extra = nn.BatchNorm2d(4), nn.Linear(4, 5), extra
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 1.5)

    def forward(self, x):
        two = self.stage2(self.stage1(self.stem(x)))
        four = self.norm(self.stage4(self.stage3(two)))
        pooled = four.mean(dim=(2, 3))
        return self.classifier(pooled + two.mean(dim=(2, 3)) if self.extra else pooled)


BLOCK, DYNAMIC = ['stage2', 'stage3', 'stage4'], ['stage2.conv1', 'stage3.conv2']


def images(size=16, batch=2):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def recurrent(plain, **options):
    torch.manual_seed(2)
    return RecurrentNetwork(
        plain,
        **{**dict(block=BLOCK, dynamic=DYNAMIC, adapter='global', example_input=images(), num_iterations=3), **options},
    )


def moved(net):
    for linear in net.recurrent_block.adapter.linears:
        nn.init.normal_(linear.weight, std=0.5)
    return net


def test_at_the_start_all_iterates_are_the_plain_network_exactly_at_any_size():
    plain = Net().double().eval()
    net = recurrent(copy.deepcopy(plain)).eval()
    for size in (16, 11, 23):
        x = images(size, batch=3)
        iterates = net.forward_iterates(x)
        assert (
            len(iterates) == 3 and all(torch.equal(y, plain(x)) for y in iterates) and torch.equal(net(x), iterates[-1])
        )


def test_feedback_from_the_last_stage_rewrites_the_earlier_ones():
    plain = Net().double().eval()
    net = moved(recurrent(copy.deepcopy(plain))).eval()
    x, adapter = images(), net.recurrent_block.adapter
    iterates = net.forward_iterates(x)
    for n, sample in enumerate(x):
        weights = {name: plain.get_submodule(name).weight for name in DYNAMIC}
        for y in iterates:
            seen = []
            handle = plain.stage4.register_forward_hook(lambda module, inputs, output: seen.append(output))
            expected = functional_call(plain, {f'{name}.weight': w for name, w in weights.items()}, (sample[None],))
            handle.remove()
            torch.testing.assert_close(y[n], expected[0])
            for name, linear, rows in zip(DYNAMIC, adapter.linears, adapter.global_rows(seen[0])):
                weights[name] = weights[name] + (rows[0] @ linear.weight.t()).reshape(weights[name].shape)
    assert min((a - b).abs().max() for a, b in zip(iterates, iterates[1:])) > 0.01


def test_state_dicts_have_the_names_of_the_network():
    plain = Net().double()
    net = moved(recurrent(Net().double()))
    names = set(plain.state_dict())
    added = set(net.state_dict()) - names
    assert names <= set(net.state_dict())
    assert all(name.startswith('stage2.adapter.') or '.iterates.' in name for name in added)
    for parameter in plain.parameters():
        nn.init.normal_(parameter)
    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all('stage2.adapter.' in name for name in missing), (
        'statistics of later iterates are filled'
    )
    for name, value in plain.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)
    other = recurrent(Net().double())
    other.load_state_dict(net.state_dict())
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.eval().forward_iterates(images()), other.eval().forward_iterates(images()))
    )
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(copied.state_dict()) == list(net.state_dict())
        assert all(
            torch.equal(a, b) for a, b in zip(net.forward_iterates(images()), copied.eval().forward_iterates(images()))
        )


def test_within_a_wrapper():
    wrapper = nn.ModuleDict(dict(net=recurrent(Net().double())))
    plain = nn.ModuleDict(dict(net=Net().double()))
    missing, unexpected = wrapper.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all('stage2.adapter.' in name for name in missing)


def test_norms_have_statistics_of_each_iterate():
    net = moved(recurrent(Net().double())).train()
    net.forward_iterates(images(batch=8))
    state = net.state_dict()
    for name in ('stage2.bn1', 'stage4.bn1', 'norm'):
        means = [state[f'{name}.running_mean'], *state[f'{name}.iterates.running_mean']]
        assert len(means) == 3 and not torch.equal(means[0], means[1])
    assert not any('iterates' in name for name in state if name.startswith(('stem', 'stage1')))


def test_the_stages_of_a_sequential_network():
    plain = nn.Sequential(*(Stage(3) for _ in range(4)), nn.Flatten()).double().eval()
    net = moved(recurrent(copy.deepcopy(plain), block=['1', '2'], dynamic=['1.conv1'])).eval()
    assert set(plain.state_dict()) <= set(net.state_dict())
    first, second, _ = net.forward_iterates(images())
    assert torch.equal(first, plain(images())) and not torch.equal(first, second)


@pytest.mark.parametrize('build, sizes', [(mfnet2d_n9, ((64, 64), (96, 80))), (mfnet3d_n9, ((4, 64, 64), (8, 32, 48)))])
def test_stages_3_to_5_of_mfnet(build, sizes):
    torch.manual_seed(0)
    plain = build(num_classes=5).eval()
    inputs = [torch.randn(2, 3, *size) for size in sizes]
    net = RecurrentNetwork(
        copy.deepcopy(plain),
        ['conv3', 'conv4', 'conv5'],
        inputs[0],
        adapter='global',
        num_iterations=2,
        dynamic=['conv3.B01.conv_i1.conv', 'conv3.B02.conv_i2.conv'],
    ).eval()
    assert set(plain.state_dict()) <= set(net.state_dict())
    for x in inputs:
        assert all(torch.equal(y, plain(x)) for y in net.forward_iterates(x))
        assert net.forward_features(x).shape == plain.forward_features(x).shape
    moved(net)
    first, second = net.forward_iterates(inputs[1])
    assert torch.equal(first, plain(inputs[1])) and (first - second).abs().max() > 1e-3


@pytest.mark.parametrize('name', ['timm', 'torchvision'])
def test_the_last_two_stages_of_a_resnet(name):
    models = pytest.importorskip('timm') if name == 'timm' else pytest.importorskip('torchvision.models')
    torch.manual_seed(0)
    plain = (
        models.create_model('resnet18', num_classes=5, zero_init_last=False)
        if name == 'timm'
        else models.resnet18(num_classes=5)
    ).eval()
    net = RecurrentNetwork(
        copy.deepcopy(plain),
        ['layer3', 'layer4'],
        torch.randn(1, 3, 64, 64),
        adapter='global',
        dynamic=['layer3.0.conv1', 'layer3.1.conv2'],
        num_iterations=2,
    ).eval()
    for size in (64, 97):
        x = torch.randn(2, 3, size, size)
        assert all(torch.equal(y, plain(x)) for y in net.forward_iterates(x))
    first, second = moved(net).forward_iterates(x)
    assert torch.equal(first, plain(x)) and (first - second).abs().max() > 1e-3


@pytest.mark.parametrize(
    'block, message',
    [
        (['stage2'], r"block must be .* two or more different names, got \['stage2'\]"),
        (['stage2', 'stage2'], r"two or more different names, got \['stage2', 'stage2'\]"),
        (['stage2', 'stage5'], "block: Net has no submodule 'stage5'; did you mean stage"),
        (['stage2', 'stage3.conv1'], r'block: the submodules of a sequence must lie side by side'),
        (['stage2', 'stage4'], "block: 'stage4' must take what 'stage2' gives and nothing else"),
        (['stage3', 'stage2'], "block: 'stage2' must take what 'stage3' gives"),
    ],
)
def test_submodules_that_are_no_block(block, message):
    plain = Net().double()
    before = dict(plain.named_modules())
    with pytest.raises(ValueError, match=message):
        recurrent(plain, block=block, dynamic=['stage2.conv1'])
    assert dict(plain.named_modules()) == before


def test_what_is_between_must_not_be_read_elsewhere():
    plain = Net(extra=True).double()
    before = dict(plain.named_modules())
    with pytest.raises(ValueError, match=r"block: Net reads what one of \['stage2', 'stage3'\] gives, and not the"):
        recurrent(plain, block=['stage2', 'stage3'], dynamic=['stage2.conv1'])
    assert dict(plain.named_modules()) == before
    recurrent(plain, block=['stage3', 'stage4'], dynamic=['stage3.conv1'])


def test_what_is_between_must_not_be_read_where_another_shape_raises():

    class Two(Net):
        def forward(self, x):
            two = self.stage2(self.stage1(self.stem(x)))
            return self.stage4(self.stage3(two)).mean() + (two - self.stem(x)).mean()

    plain = Two().double()
    before = dict(plain.named_modules())
    with pytest.raises(ValueError, match='Nothing else may read what is between'):
        recurrent(plain, block=['stage2', 'stage3'], dynamic=['stage2.conv1'])
    assert dict(plain.named_modules()) == before


def test_a_network_is_as_it_was_where_a_layer_is_not_there():
    plain = Net().double()
    before = dict(plain.named_modules())
    with pytest.raises(ValueError, match="dynamic: block 'stage2' has no submodule 'stage2.conv3'"):
        recurrent(plain, dynamic=['stage2.conv3'])
    assert dict(plain.named_modules()) == before and not any(isinstance(m, InSpan) for m in plain.modules())


def test_a_submodule_called_adapter_is_in_the_way():
    plain = Net().double()
    plain.stage2.adapter = nn.Identity()
    with pytest.raises(
        ValueError, match="block: 'stage2' has a submodule 'adapter', whose name is that of h; rename it"
    ):
        recurrent(plain)
