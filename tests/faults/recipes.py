"""Trainings by the recipe in plain PyTorch that cannot be begun or taken up."""

from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import torch
from torch import nn

from kaizen_mm.losses import KaizenLoss
from kaizen_mm.recipes.plain_pytorch import train
from tests.faults.case import Case

CHECKPOINT = Path('net.pth')
BATCH = (torch.ones(2, 4), torch.tensor([0, 1]))


def _train(network: Any = None, rate: float = 0.1, **options) -> None:
    torch.manual_seed(0)
    network = network or nn.Linear(4, 2)
    given: Dict[str, Any] = dict(
        batches=[BATCH], checkpoint=CHECKPOINT, epochs=2, optimizer=torch.optim.SGD(network.parameters(), rate)
    )
    train(network, **given | options)


def _taken_up(folder: Path, damage: Callable[[], Any] = lambda: None, **options) -> None:
    CHECKPOINT.unlink(missing_ok=True)
    _train()
    damage()
    content = CHECKPOINT.read_bytes()
    try:
        _train(**options)
    finally:
        assert CHECKPOINT.read_bytes() == content, 'the checkpoint is changed'


def _cut() -> None:
    CHECKPOINT.write_bytes(CHECKPOINT.read_bytes()[:500])


def _flipped() -> None:
    content = CHECKPOINT.read_bytes()
    middle = len(content) // 2
    CHECKPOINT.write_bytes(
        content[:middle] + bytes(4 ^ byte for byte in content[middle : middle + 300]) + content[middle + 300 :]
    )


def _infinite(folder: Path) -> None:
    _train(batches=[(torch.full((2, 4), float('inf')), BATCH[1])])


# what is done, and its pattern
CASES: Dict[str, Tuple[str, Callable[[Path], Any]]] = {
    'no epoch': ('epochs must be', lambda folder: _train(epochs=0)),
    'no batch': ('batches must be', lambda folder: _train(batches=[])),
    'batches without a length': ('batches must be', lambda folder: _train(batches=iter([BATCH]))),
    'a decay above 1': ('decay must be', lambda folder: _train(decay=1.5)),
    'a negative seed': ('seed must be', lambda folder: _train(seed=-1)),
    'labels that are none': ('target: labels', lambda folder: _train(batches=[(BATCH[0], BATCH[1] + 5)])),
    'a loss that is not finite': ('the loss of epoch 0 is nan', _infinite),
    'checkpoint cut': (r'net\.pth', partial(_taken_up, damage=_cut)),
    'checkpoint empty': (r'net\.pth', partial(_taken_up, damage=lambda: CHECKPOINT.write_bytes(b''))),
    'checkpoint of other bytes': (r'net\.pth', partial(_taken_up, damage=_flipped)),
    'checkpoint of weights alone': (
        'was not written by this recipe',
        partial(_taken_up, damage=lambda: torch.save(nn.Linear(4, 2).state_dict(), CHECKPOINT)),
    ),
    'checkpoint of more epochs': (r'epochs: net\.pth is of a training with 2', partial(_taken_up, epochs=3)),
    'checkpoint of another rate': (r'rates: net\.pth is of', partial(_taken_up, rate=0.2)),
    'checkpoint of another seed': (r'seed: net\.pth is of', partial(_taken_up, seed=1)),
    'checkpoint of another loss': (r'loss: net\.pth is of', partial(_taken_up, loss=KaizenLoss(hinge='sample'))),
    'checkpoint of another network': (r'network: net\.pth is of', partial(_taken_up, network=nn.Linear(4, 3))),
}


def cases() -> Iterator[Case]:
    for name, (pattern, act) in CASES.items():
        yield Case('recipes', name, 'error', pattern, act)
