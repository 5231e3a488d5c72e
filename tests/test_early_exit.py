"""Early exit equals choosing among the iterates, sample by sample."""

import pytest
import torch
from torch import nn

from kaizen_mm.models import MFNet
from kaizen_mm.surgery import RecurrentNetwork
from tests.test_fast_weight_ways import NETWORKS, PAPER, SMALL, build, every_network


def chosen(iterates, threshold):
    """For each sample on its own: the scores that it leaves with, and after how many passes."""
    scores, passes = [], []
    for n in range(len(iterates[0])):
        for i, iterate in enumerate(iterates, start=1):
            if iterate[n].softmax(dim=0).max() >= threshold or i == len(iterates):
                scores.append(iterate[n])
                passes.append(i)
                break
    return torch.stack(scores), torch.tensor(passes)


@every_network
@torch.no_grad()
def test_it_equals_choosing_among_the_iterates(name):
    net, x = build(name)
    x = torch.cat([x * scale for scale in (0.3, 1.0, 3.0)])
    iterates = net.forward_iterates(x)
    confidences = torch.stack([y.softmax(dim=1).amax(dim=1) for y in iterates])
    better = confidences[1] > confidences[0]
    between = confidences[:2].mean(dim=0)[better].tolist()
    thresholds = [
        0.0,
        1.0,
        *between,
        *confidences.flatten().quantile(torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=x.dtype)).tolist(),
    ]
    seen = set()
    for threshold in thresholds:
        scores, passes = net.early_exit(x, threshold=threshold)
        expected, count = chosen(iterates, threshold)
        assert torch.equal(passes, count)
        torch.testing.assert_close(scores, expected, rtol=1e-10, atol=1e-11)
        seen.update(passes.tolist())
    assert seen == ({1, 2, 3} if better.any() else {1, 3})
    assert better.any() or not name.startswith('mfnet')
    assert all(torch.equal(a, b) for a, b in zip(net.forward_iterates(x), iterates)), 'nothing stays behind'


@pytest.mark.parametrize('name', ['mfnet2d', 'any'])
@torch.no_grad()
def test_a_single_sample_and_a_batch_that_leaves_at_once(name):
    net, x = build(name)
    assert net.early_exit(x[:1], threshold=1.0)[1].tolist() == [3]
    scores, passes = net.early_exit(x, threshold=0.0)
    assert passes.tolist() == [1, 1, 1]
    torch.testing.assert_close(scores, net.forward_iterates(x)[0], rtol=1e-11, atol=1e-12)


@torch.no_grad()
def test_samples_that_have_left_are_not_computed():
    net, x = build('any')
    seen = []
    net.wrapped.linear.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    confidence = net.forward_iterates(x)[0].softmax(dim=1).amax(dim=1)
    seen.clear()
    net.early_exit(x, threshold=confidence.median().item())
    seen.clear()  # the first call has seen where samples stand
    _, passes = net.early_exit(x, threshold=confidence.median().item())
    assert seen == [int((passes >= i).sum()) for i in range(1, int(passes.max()) + 1)] and sum(seen) < 9


class Frames(nn.Module):
    """Takes clips ``[N, T, C, H, W]`` frame by frame, and makes a table that samples share."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, 4)
        self.table = nn.Embedding(3, 4)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        frames = self.stem(x.flatten(0, 1)) + self.table(torch.arange(3)).sum(dim=0)[:, None, None]
        y = self.block(frames).mean(dim=(2, 3))
        return self.linear(y.unflatten(0, (len(x), -1)).mean(dim=1))


@torch.no_grad()
def test_frames_that_stand_in_the_batch_leave_with_their_sample():
    torch.manual_seed(0)
    net = RecurrentNetwork(Frames(), 'block', torch.randn(1, 2, 3, 16, 16), '0', alpha=3.0).double().eval()
    x = torch.randn(3, 2, 3, 16, 16, dtype=torch.float64) * torch.tensor([1.0, 3.0, 9.0]).view(3, 1, 1, 1, 1)
    iterates = net.forward_iterates(x)
    threshold = iterates[0].softmax(dim=1).amax(dim=1).median().item()
    scores, passes = net.early_exit(x, threshold=threshold)
    expected, count = chosen(iterates, threshold)
    assert torch.equal(passes, count) and set(passes.tolist()) > {1}
    torch.testing.assert_close(scores, expected, rtol=1e-10, atol=1e-11)


class Mixed(nn.Module):
    """What comes before the block has the samples in the last dimension."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Flatten(1)
        self.other = Turned()
        self.block, self.linear = nn.Sequential(nn.Linear(6, 6), nn.ReLU()), nn.Linear(6, 3)

    def forward(self, x):
        other = self.other(x).sum(dim=0)[:, None]
        return self.linear(self.block(self.turn(x)) + other)


class Turned(nn.Module):
    def forward(self, x):
        return x.flatten(1).t()


@torch.no_grad()
def test_what_cannot_be_computed_for_a_part_of_a_batch_is_said():
    torch.manual_seed(0)
    net = RecurrentNetwork(Mixed(), 'block', torch.randn(2, 6), '0', adapter='global').eval()
    with pytest.raises(
        ValueError, match=r"what 'other' gives, .* \(6, 1\) .* cannot be computed for a part of the batch"
    ):
        net.early_exit(torch.randn(3, 6), threshold=1.0)


@pytest.mark.parametrize('name', ['mfnet2d', 'mnist', 'any'])
def test_arguments_that_cannot_be_used(name):
    net, x = build(name)
    for threshold in (-0.1, 1.1, float('nan'), '0.5', True):
        with pytest.raises(ValueError, match='threshold must be a number from 0 to 1, got'):
            net.early_exit(x, threshold=threshold)
    with pytest.raises(ValueError, match='early_exit: the network is in training mode'):
        net.train().early_exit(x, threshold=0.5)
    plain = NETWORKS[name][0]().double().eval()
    if hasattr(plain, 'early_exit'):
        with pytest.raises(ValueError, match='early_exit: .* has no recurrent block'):
            plain.early_exit(x, threshold=0.5)


def test_networks_that_give_no_scores_are_refused():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    net = MFNet(2, num_iterations=2, input_size=(32, 32), **{**SMALL, 'num_classes': 0}, **PAPER).eval()
    with pytest.raises(ValueError, match='early_exit: the network must give scores, .* num_classes=0'):
        net.early_exit(x, threshold=0.5)
    maps = RecurrentNetwork(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)), '1', x, '', adapter='global').eval()
    with pytest.raises(ValueError, match=r'must give scores \[N, classes\], it gives shape \(2, 4, 32, 32\)'):
        maps.early_exit(x, threshold=0.5)
