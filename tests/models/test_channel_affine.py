"""Scale and shift of each channel: FiLM written out, plain at the start, and rewritten by feedback in a BagNet."""

import pytest
import torch
from torch import nn

from kaizen_mm.models import BagNet
from kaizen_mm.models.channel_affine import ChannelAffine
from kaizen_mm.surgery import RecurrentNetwork


@pytest.mark.parametrize('dims', [2, 3])
def test_it_is_the_plain_map_at_first_and_a_scale_and_a_shift_then(dims):
    module = ChannelAffine(dims, 3).double()
    x = torch.randn(2, 3, *(4, 5, 2)[:dims], dtype=torch.float64)
    assert torch.equal(module(x), x)
    nn.init.normal_(module.conv.weight)
    scale, shift = module.conv.weight.flatten(1).t()
    expected = torch.stack([scale[c] * x[:, c] + shift[c] for c in range(3)], dim=1)
    torch.testing.assert_close(module(x), expected)


def test_a_modulated_network_starts_as_the_plain_one():
    torch.manual_seed(0)
    plain = BagNet().eval()
    modulated = BagNet(modulated=True).eval()
    missing, unexpected = modulated.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all('affine' in name for name in missing)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(modulated(x), plain(x))


def test_feedback_scales_and_shifts_what_the_norms_give():
    torch.manual_seed(0)
    plain = BagNet(widths=(4,), stem=(4, 4, 4), modulated=True).double().eval()
    layers = [f'block1.affine{i}.conv' for i in (1, 2)]
    net = RecurrentNetwork(
        plain, 'block1', torch.zeros(1, 3, 8, 8).double(), [name[7:] for name in layers], num_iterations=2,
        adapter='global', hidden=3, rank=2,
    ).double().eval()  # fmt: skip
    adapter = net.recurrent_block.adapter
    for linear in adapter.linears:
        nn.init.normal_(linear.weight)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    first, second = net.forward_iterates(x)
    block = BagNet(widths=(4,), stem=(4, 4, 4)).double().eval()
    block.load_state_dict({k: v for k, v in net.state_dict().items() if k in block.state_dict()})
    stem = block.relu(block.bn1(block.conv1(x)))
    torch.testing.assert_close(block(x), first)
    changes = adapter.changes(block.block1(stem))
    (scale1, shift1), (scale2, shift2) = (
        (rows @ linear.weight.t())[..., None, None].unbind(dim=2) for rows, linear in zip(changes, adapter.linears)
    )
    unit = block.block1
    z = (1 + scale1) * unit.bn1(unit.conv1(stem)) + shift1
    z = (1 + scale2) * unit.bn2(unit.conv2(unit.relu(z))) + shift2
    expected = block.linear(unit.relu(z + stem).mean(dim=(2, 3)))
    torch.testing.assert_close(expected, second)
    assert (second - first).abs().max() > 1e-3
    wanted = list(adapter.parameters())
    for got, reference in zip(
        torch.autograd.grad(second.square().sum(), wanted), torch.autograd.grad(expected.square().sum(), wanted)
    ):
        torch.testing.assert_close(got, reference)


@pytest.mark.parametrize('dims', [2, 3])
def test_closed_feedback_leaves_the_plain_network_to_the_bit(dims):
    torch.manual_seed(0)
    plain = BagNet(dims, modulated=True).eval()
    x = torch.randn(2, 3, *(8, 12, 8)[:dims])
    expected = plain(x)
    names = [f'block{block}.affine{affine}.conv' for block in (1, 2) for affine in (1, 2)]
    options = dict(num_iterations=2, adapter='global', hidden=3, rank=2)  # whose A starts at zero
    net = RecurrentNetwork(plain, ['block1', 'block2'], x, names, **options).eval()
    assert all(torch.equal(y, expected) for y in net.forward_iterates(x))


@pytest.mark.parametrize('arguments, message', [((4, 3), 'dims must be'), ((2, 0), 'channels must be')])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ChannelAffine(*arguments)
