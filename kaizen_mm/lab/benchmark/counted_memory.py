"""``memory``: what a step of training holds at most, counted from the sizes of its tensors without computing any."""

import dataclasses
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from .conditions import Conditions
from .networks import NARROW
from .versions import this_version

# bytes of one parameter that the step does not make: the float32 weight, with bf16 and its copy; and where it trains,
# AdamW's two moments, with bf16 and the float32 gradient
WEIGHT_BYTES = {'float32': 4, 'bf16': 6}
TRAINED_BYTES = {'float32': 8, 'bf16': 12}


@dataclasses.dataclass(frozen=True)
class MemoryCase:
    """A network of :mod:`kaizen_mm.models` and its input."""

    title: str
    network: str
    size: tuple[int, ...]
    batch: int
    precision: str = 'float32'
    kwargs: dict = dataclasses.field(default_factory=dict, hash=False)


CASES = (
    MemoryCase('mfnet3d_n9, 16x112x112', 'mfnet3d_n9', (16, 112, 112), 8),
    MemoryCase('mfnet2d, 224x224', 'mfnet2d', (224, 224), 32),
    MemoryCase('mfnet3d, 16x224x224', 'mfnet3d', (16, 224, 224), 32, 'bf16'),
)
QUICK_CASES = (MemoryCase('mfnet3d, narrow', 'mfnet3d', (16, 96, 96), 2, 'bf16', NARROW),)


def measure(how: Conditions, most_iterations: int = 4) -> Iterable[dict[str, Any]]:
    """The records of all cases for K = 1 .. ``most_iterations``, with and without gradient checkpointing.

    K = 1 is the plain network. With bfloat16 every map and gradient is of that type. Weights and the optimizer's
    state are counted apart, by :data:`WEIGHT_BYTES` and :data:`TRAINED_BYTES`.
    """
    for case in QUICK_CASES if how.quick else CASES:
        for checkpointing in (False, True):
            for k in range(1, most_iterations + 1):
                yield _count(case, checkpointing, k)


def _count(case: MemoryCase, checkpointing: bool, num_iterations: int) -> dict[str, Any]:
    dtype = torch.bfloat16 if case.precision == 'bf16' else torch.float32
    build = getattr(this_version().models, case.network)
    network = build(num_classes=400, num_iterations=num_iterations, input_size=case.size, **case.kwargs)
    network = network.to('meta', dtype)
    network.grad_checkpointing = checkpointing

    def step():
        x = torch.empty(case.batch, 3, *case.size, device='meta', dtype=dtype)
        sum(y.sum() for y in network.forward_iterates(x)).backward()

    weights, trained = WEIGHT_BYTES[case.precision], TRAINED_BYTES[case.precision]
    held = sum(p.numel() * (weights + trained * p.requires_grad) for p in network.parameters())
    return dict(
        case=case.title,
        batch=case.batch,
        precision=case.precision,
        K=num_iterations,
        checkpointing=checkpointing,
        peak_mib=round(peak_of_tensors(step) / 2**20, 2),
        weights_mib=round(held / 2**20, 2),
    )


def peak_of_tensors(call: Callable[[], object]) -> int:
    """Bytes of the tensors of a call that are alive at the same time, at most; those that it was given do not count.

    What operations take for themselves is not seen, nor how an allocator rounds.
    """
    with _Alive() as alive:
        call()
    return alive.most


class _Alive(TorchDispatchMode):
    """Adds up the storages that operations make, until they are released."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tree_map_only(Tensor, lambda given: self._see(given, 0), (args, kwargs))
        result = func(*args, **kwargs)
        tree_map_only(Tensor, lambda made: self._see(made, made.untyped_storage().nbytes()), result)
        return result

    def _see(self, tensor: Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
