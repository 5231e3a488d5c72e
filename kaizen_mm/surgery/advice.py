"""What is known of a recurrence before it is trained: how much of the input a position of the last map sees, what runs
K times, what weights come along, whether ``h`` reads anything.

The measured cases that it is compared with are those of ``docs/when_it_helps.md``.
"""

from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, List, NamedTuple, Tuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from kaizen_mm.layers import AdaptiveRecurrentBlock, recurrent_blocks
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.foreign_call import block_output
from kaizen_mm.layers.nested_tensors import tensors

PAGE = 'docs/when_it_helps.md'
# shares of a side that a position saw: helped, and little of it left, on photos; helped on clips
_PHOTOS, _PHOTOS_LITTLE, _CLIPS = 4 / 32, 12 / 32, 17 / 32
_POINTS = (0.3, 0.5, 0.66)  # where the input is changed, in parts of each side


class Advice(NamedTuple):
    """What is known beforehand of a recurrent network.

    ``sees``: of each side of the input (frames, height, width; tokens), how much one position of the last map sees;
    empty where that could not be measured. ``size``: of the input's sides. ``run_again``: the share of the
    multiply-adds of one pass that run ``num_iterations`` times. ``weights_of_h``, ``weights``: of the adapters, and of
    the network without them. ``reads_zero``: whether ``h`` reads nothing but zeros.
    """

    sees: Tuple[int, ...]
    size: Tuple[int, ...]
    run_again: float
    num_iterations: int
    weights_of_h: int
    weights: int
    reads_zero: bool

    @property
    def sees_all(self) -> bool:
        """Whether one position of the last map sees the whole input."""
        return bool(self.sees) and self.sees == self.size

    def __str__(self) -> str:
        return '\n'.join(self.lines())

    def lines(self) -> List[str]:
        """Three lines: what a position sees, what it costs, what ``h`` reads."""
        again = f'{self.run_again:.0%} of the multiply-adds run {self.num_iterations} times'
        ratio = f'{self.weights_of_h:,} weights of h come to the {self.weights:,} of the network'
        zero = (
            'What h reads is zero at the start, as where a norm begins at zero: it stands still until that is trained.'
            if self.reads_zero
            else 'What h reads is not zero at the start.'
        )
        return [self._sight(), f'{again}; {ratio}.', zero]

    def _sight(self) -> str:
        if not self.sees:
            return f'How much of the input one position of the last map sees could not be measured; see {PAGE}.'
        if self.sees_all:
            return (
                'Each position of the last map sees all of your input; in networks like this the recurrence has made '
                f'no difference ({PAGE}).'
            )
        pieces = ' x '.join(f'{part} of {whole}' for part, whole in zip(self.sees, self.size))
        return f'One position of the last map sees {pieces} of the input; {self._case()} ({PAGE}).'

    def _case(self) -> str:
        share = max(part / whole for part, whole in list(zip(self.sees, self.size))[-2:])  # of height and width
        if len(self.size) > 2:
            if share <= _CLIPS:
                return 'where positions saw 9 or 17 of 32 on clips, the recurrence helped, trained from the start'
            return 'where positions saw 25 of 32 on clips, it could not be told what the second pass was worth'
        if share <= _PHOTOS:
            return 'where positions saw 4 of 32 on photos, the recurrence helped, trained from the start'
        if share <= _PHOTOS_LITTLE:
            return 'where positions saw 12 of 32 on photos, little was left of what the recurrence gained at 4'
        return 'on photos, where positions saw 12 of 32, little was left already of what the recurrence gained at 4'


def advice(network: nn.Module, *args, **kwargs) -> Advice:
    """Looks at a network with a recurrent block, in a few passes in evaluation mode and without gradients.

    Args:
        network: It has an :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock` of two or more iterations.
        args, kwargs: An input of it, of the size that it will get.

    Raises:
        ValueError: It has no such block.
    """
    blocks = [block for _, block in recurrent_blocks(network) if block.num_iterations > 1]
    if not blocks:
        raise ValueError(f'network must have a recurrent block of two iterations, {type(network).__name__} has none')
    own = {id(p): p.numel() for p in network.parameters()}
    of_h = {id(p): p.numel() for block in blocks for p in block.adapter.parameters()}
    iterations = blocks[-1].num_iterations
    with evaluation(network), _plain(blocks):
        reads_zero, before, total = _plain_pass(network, blocks[-1], args, kwargs)
        with _branches_open(network):
            base = _map(network, blocks[-1], args, kwargs)
            sees, size = _sight_of(network, blocks[-1], base, args, kwargs)
    return Advice(
        sees,
        size,
        1 - before / total if total else 1.0,
        iterations,
        sum(of_h.values()),
        sum(own.values()) - sum(of_h.values()),
        reads_zero,
    )


@contextmanager
def _plain(blocks: List[AdaptiveRecurrentBlock]) -> Iterator[None]:
    """The blocks run once."""
    iterations = [block._num_iterations for block in blocks]
    for block in blocks:
        block._num_iterations = 1
    try:
        yield
    finally:
        for block, value in zip(blocks, iterations):
            block._num_iterations = value


@contextmanager
def _branches_open(network: nn.Module) -> Iterator[None]:
    """Scales that begin at zero or close to it, so that a branch gives nothing yet, are one."""
    closed = [
        (parameter, parameter.detach().clone())
        for name, parameter in network.named_parameters()
        if 0 < parameter.numel() == max(parameter.shape, default=0)  # along one dimension alone
        if not name.endswith('bias') and float(parameter.detach().abs().max()) < 0.1
    ]
    for parameter, _ in closed:
        parameter.data.fill_(1)
    try:
        yield
    finally:
        for parameter, value in closed:
            parameter.data.copy_(value)


def _plain_pass(network: nn.Module, block: AdaptiveRecurrentBlock, args: tuple, kwargs: dict) -> Tuple[bool, int, int]:
    """Whether ``h`` would read zeros alone, and the floating-point operations before the block and of all."""
    read: List[bool] = []  # what follows may work in place
    before: List[int] = []
    with FlopCounterMode(display=False) as counter, ExitStack() as stack:
        watched = block.wrapped.get_submodule(block.feedback)
        for handle in (
            block.register_forward_pre_hook(lambda module, inputs: before.append(counter.get_total_flops())),
            watched.register_forward_hook(lambda module, inputs, y: read.append(bool(block_output(y).any()))),
        ):
            stack.callback(handle.remove)
        network(*args, **kwargs)
    return not any(read), before[0], counter.get_total_flops()


def _sight_of(
    network: nn.Module, block: AdaptiveRecurrentBlock, base: Tensor, args: tuple, kwargs: dict
) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    """How much of each side of the input one position of the block's output sees, and the sides.

    A point of the input is changed; the positions of the map that change are as many as points of the input, in
    strides of the map, that one position sees.
    """
    x = next((tensor for tensor in tensors((args, kwargs)) if tensor.dim() > 1), None)
    if x is None or base.dim() < 3:
        return (), ()
    words = not x.is_floating_point()
    size = tuple(x.shape[1:]) if words else tuple(x.shape[2:])
    if block.adapter.feedback_layout == 'channels_last':
        base = base.movedim(-1, 1)
    if not words and x.dim() == 3 and base.dim() == 3:
        size = _sides_of_sequence(block, x)
    if not size:
        return (), ()
    places, extents = [tuple(int(point * side) for side in size) for point in _POINTS], []
    for place in places:
        try:
            other = _map(network, block, *_changed((args, kwargs), x, place, size))
        except Exception:  # of whatever kind, where the network does not take what was changed
            return (), ()
        if block.adapter.feedback_layout == 'channels_last':
            other = other.movedim(-1, 1)
        extents.append(_extent((other[:1] - base[:1]).abs().amax(dim=(0, 1)), float(base.abs().max())))
    positions = base.shape[2:]
    if len(positions) != len(size):  # tokens of an image: told only where one sees all
        sees_all = all(end - start + 1 == positions[0] for ((start, end), *_) in extents)
        return (size, size) if sees_all else ((), ())
    sees = [
        _seen(side, n, [place[axis] for place in places], [each[axis] for each in extents])
        for axis, (side, n) in enumerate(zip(size, positions))
    ]
    return tuple(sees), size


def _seen(side: int, positions: int, places: List[int], extents: List[Tuple[int, int]]) -> int:
    """How much of a side one position sees, from which positions see each of a few places."""
    counts = [end - start + 1 for start, end in extents]
    if max(counts) == positions:
        return side
    whole = [i for i, (start, end) in enumerate(extents) if start > 0 and end < positions - 1]  # none cut at a border
    if not whole:
        return min(side, -(-max(counts) * side // positions))
    count = sum(counts[i] for i in whole) / len(whole)
    return min(side, max(1, round(_stride(side / positions, places, extents, positions) * count)))


def _stride(usual: float, places: List[int], extents: List[Tuple[int, int]], positions: int) -> float:
    """Points of the input from one position to the next: the side over the positions, unless the ends of what changes
    move by other steps, as in a map without padding."""
    distance = moved = 0
    for end, border in ((0, 0), (1, positions - 1)):
        free = [(place, extent[end]) for place, extent in zip(places, extents) if extent[end] != border]
        if len(free) > 1:
            distance += free[-1][0] - free[0][0]
            moved += free[-1][1] - free[0][1]
    measured = distance / moved if moved > 0 else usual
    return measured if abs(measured - usual) > 2 * usual / max(moved, 1) else usual  # more than rounding


def _sides_of_sequence(block: AdaptiveRecurrentBlock, x: Tensor) -> Tuple[int, ...]:
    """The length of ``[N, L, C]`` or ``[N, C, L]``."""
    return (x.shape[1] if block.adapter.feedback_layout == 'channels_last' else x.shape[2],)


def _extent(change: Tensor, scale: float) -> List[Tuple[int, int]]:
    """Along each side of a map, the first position that changes and the last; ``(0, -1)`` where none does."""
    changed = change > 1e-6 * scale
    extents = []
    for side in range(changed.dim()):
        others = [other for other in range(changed.dim()) if other != side]
        places = (changed.any(dim=others) if others else changed).nonzero().flatten().tolist()
        extents.append((places[0], places[-1]) if places else (0, -1))
    return extents


def _changed(inputs: Any, x: Tensor, place: Tuple[int, ...], size: Tuple[int, ...]) -> Any:
    """Inputs whose first sample is another one at one point."""
    other = x.clone()
    if x.dim() == 3 and x.is_floating_point() and x.shape[1] == size[0] and len(size) == 1 and x.shape[2] != size[0]:
        where: tuple = (0, place[0])
    elif x.is_floating_point():
        where = (0, slice(None), *place)
    else:
        where = (0, *place)
    if x.is_floating_point():
        step = 3 * float(x.float().std()) + 1
        other[where] = torch.where(other[where] > x.mean(), other[where] - step, other[where] + step)
    else:
        other[where] = torch.where(other[where] > 0, other[where] - 1, other[where] + 1)
    return tree_map_only(Tensor, lambda tensor: other if tensor is x else tensor, inputs)


def _map(network: nn.Module, block: nn.Module, args: tuple, kwargs: dict) -> Tensor:
    maps: List[Tensor] = []
    handle = block.register_forward_hook(lambda module, inputs, y: maps.append(block_output(y)))
    try:
        network(*args, **kwargs)
    finally:
        handle.remove()
    return maps[0]
