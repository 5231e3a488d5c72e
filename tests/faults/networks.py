"""Networks that cannot be made recurrent as they are told to, and what a recurrent one is given."""

from functools import partial
from typing import Callable, Dict, Iterator, Tuple

import torch
import torch.fx
from torch import nn

import kaizen_mm
from kaizen_mm.layers import build_adapter, make_dynamic
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import BagNet
from kaizen_mm.models.comparators import FeedbackNet
from kaizen_mm.surgery import RecurrentNetwork
from tests.conftest import ROOT
from tests.faults.case import Case

CONFIGS = ROOT / 'configs'


class _Block(nn.Module):
    """Adds up its input with what it is told to: nothing, a cache, or a state of its own."""

    def __init__(self, stateful: bool = False):
        super().__init__()
        self.line, self.stateful, self.state = nn.Linear(4, 4), stateful, 0.0

    def forward(self, x, cache=None):
        y = self.line(x)
        if self.stateful:
            y = y + self.state
            self.state = float(y.detach().mean()) + 1
        for row in cache or ():
            y = y + row
        if cache is not None:
            cache.append(y.detach())
        return y


class _InTraining(nn.Module):
    """Moves a mean in training alone, or lets no gradient through."""

    def __init__(self, cut: bool):
        super().__init__()
        self.line, self.cut = nn.Linear(4, 4), cut
        self.register_buffer('mean', torch.zeros(4))

    def forward(self, x):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.cut):
            y = self.line(x)
        if self.training and not self.cut:
            self.mean.lerp_(y.detach().mean(0), 0.1)
        return torch.relu(y - self.mean) + x


class _Decoder(nn.Module):
    def __init__(self, use_cache: bool = True, **options):
        super().__init__()
        self.block, self.use_cache = _Block(**options), use_cache

    def forward(self, x):
        return self.block(x, cache=[]) if self.use_cache else self.block(x)


class _TimeFirst(nn.Module):
    def __init__(self, last: bool):
        super().__init__()
        self.steps, self.block, self.last = nn.LSTM(4, 4), nn.Linear(4, 4), last

    def forward(self, x):
        y = self.block(self.steps(x)[0])
        return y[-1] if self.last else y


class _Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.block = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.stem(x)
        if self.training:
            x[:, :2] *= torch.rand(())
        return self.block(x) + x


def _within(block: nn.Module) -> nn.Module:
    network = nn.Sequential()
    network.add_module('block', block)
    return network


def _made(network: nn.Module, shape=(2, 4), dynamic='line', **options):
    return RecurrentNetwork(network, 'block', torch.randn(*shape), dynamic, **options)


def _late_cache(folder):
    network = _made(_Decoder(use_cache=False))
    network.wrapped.use_cache = True
    network(torch.randn(2, 4))


def _masked(folder):
    _made(_Masked(), dynamic='').train().forward_iterates(torch.randn(2, 4))


def _complex(folder):
    make_dynamic(nn.Linear(4, 4, dtype=torch.complex64), 'line')


def _loss(rows, folder):
    return f'loss {float(KaizenLoss()([torch.randn(2, 3)] * 2, torch.tensor(rows)))}'


def _no_samples(folder):
    KaizenLoss()([torch.zeros(0, 3)] * 2, torch.zeros(0, dtype=torch.long))


def _adapter(options, folder, feedback_shape=(8, 7, 7)):
    build_adapter(feedback_shape, {'conv': (6, 3, 3)}, **options)


def _huge(folder):
    build_adapter((512, 7, 7), {'conv': (512, 512, 3, 3)}, shared_rows=False)


def _one_call(network, shape, folder, **options):
    kaizen_mm.recurrent(network, torch.randn(*shape), quiet=True, **options)


def _advise(size, folder):
    from mmengine.config import Config

    from kaizen_mm.openmmlab.advice import advise

    advise(Config.fromfile(CONFIGS / 'kaizen_bagnet_cifar10_k2_paper.py'), size)


NETWORKS: Dict[str, Tuple[str, Callable]] = {
    'a cache that the block writes into': (r"further argument 'cache'.*use_cache=False", lambda f: _made(_Decoder())),
    'such a cache later': (r"further argument 'cache'.*use_cache=False", _late_cache),
    'a block with a state': ('keeps a state', lambda f: _made(_Decoder(False, stateful=True))),
    'a block with a mean that moves in training': ("'mean' of its own", lambda f: _made(_within(_InTraining(False)))),
    'a dynamic layer without gradients': ("'line' has no gradient", lambda f: _made(_within(_InTraining(True)))),
    'steps first': ('batch_first=True', lambda f: _made(_TimeFirst(False), (5, 2, 4), '')),
    'steps first, scores of the last': ('batch_first=True', lambda f: _made(_TimeFirst(True), (5, 2, 4), '')),
    'masks in place': ('in place', _masked),
    'complex weights': ('torch.complex64', _complex),
    'rows that do not divide': (
        r'pool_kernel=.*does.*global.*shared_rows=False, with [0-9,]+ weights',
        partial(_adapter, dict(pool_kernel=3)),
    ),
    'a pooling larger than the map': (
        r'does not fit.*pool_kernel=2 does.*global',
        partial(_adapter, dict(pool_kernel=5), feedback_shape=(9, 2, 2)),
    ),
    'an adapter of more weights than there is memory': ('would have 59,190,018,048 weights', _huge),
    'one call: nothing in the network': ('no block was found', partial(_one_call, nn.ReLU(), (1, 3, 8, 8))),
    'one call: norms alone': ('no block was found', partial(_one_call, nn.BatchNorm2d(3), (1, 3, 8, 8))),
    'one call: an input of another size': ('example_input.*does not run', partial(_one_call, BagNet(), (1, 2, 8, 8))),
    'one call: an input that is too small': ('example_input.*does not run', partial(_one_call, BagNet(), (1, 3, 2, 2))),
    'one call: one iteration': ('num_iterations', partial(_one_call, BagNet(), (1, 3, 8, 8), num_iterations=1)),
    'advise: an input of another size': ('input_size', partial(_advise, (2, 8, 8))),
    'a graph with one set of statistics for all iterates': (
        'running statistics of each iterate',
        lambda f: torch.fx.symbolic_trace(FeedbackNet(width=0.5)),
    ),
    'negated probabilities': ('sum to 1', partial(_loss, [[-0.5, -0.5, 0.0], [0.0, 1.0, 0.0]])),
    'probabilities that are not numbers': ('sum to 1', partial(_loss, [[float('nan'), 1.0, 0.0], [0.0, 1.0, 0.0]])),
    'several labels as probabilities': ('sum to 1', partial(_loss, [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])),
    'a batch of no samples': ('at least one sample', _no_samples),
    'class weights of zeros': ('class_weight', lambda f: KaizenLoss(class_weight=[0.0, 0.0, 0.0])),
}


def cases() -> Iterator[Case]:
    for name, (pattern, act) in NETWORKS.items():
        yield Case('networks', name, 'error', pattern, act)
