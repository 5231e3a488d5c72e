"""Early exit from any network that was made recurrent: what ran before the block is given again, for the samples that
are left."""

from functools import partial
from typing import Any, List, Tuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from kaizen_mm.layers.early_exit import BlockPasses, kept_entries
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.nested_tensors import tensors
from kaizen_mm.surgery.replay import Replay


class NetworkPasses(BlockPasses):
    """The iterates of a :class:`~kaizen_mm.surgery.RecurrentNetwork` one by one, for fewer and fewer samples.

    Args:
        network: The network.
        args, kwargs: Its input.
        entries_per_sample: How many entries of the batch a sample has, one sample's after the other's, such as the
            frames of a clip. Default 1.
    """

    def __init__(self, network: Any, args: tuple, kwargs: dict, entries_per_sample: int = 1):
        super().__init__(network.recurrent_block, torch.empty(0), lambda y, index: y)
        self._network, self._inputs = network, (args, kwargs)
        batches = {len(tensor) for tensor in tensors(self._inputs) if tensor.dim()}
        if len(batches) != 1:
            raise ValueError(
                f'early_exit: the inputs must have one batch size, got {sorted(batches)}; without it, samples cannot '
                'be left out'
            )
        self._replay = self._new_replay()
        self._started = False
        self._entries = self._layout(entries_per_sample) if batches.pop() > entries_per_sample else []

    def _new_replay(self) -> Replay:
        network = self._network
        return Replay(network.wrapped, network.block_names[-1], network._upstream, network._copied)

    def _pass(self, index: int) -> Tensor:
        replay, network = self._replay, self._network
        args, kwargs = self._inputs
        with network._pass(index), replay.later_pass() if self._started else replay.first_pass():
            self._started = True
            return network.wrapped(*args, **kwargs)

    def keep(self, mask: Tensor) -> None:
        self._replay.keep(mask, self._entries)
        self._inputs = tree_map_only(Tensor, lambda t: kept_entries(t, mask) if t.dim() else t, self._inputs)
        self._keep_written(mask)

    def _layout(self, entries_per_sample: int) -> List[int]:
        """Of each tensor that the replay keeps: how many entries it has for each sample, 0 where samples share it.

        Found out once, from one and from two samples.

        Raises:
            ValueError: A tensor has neither.
        """
        network = self._network
        known = network.__dict__.setdefault('_exit_layouts', {})
        if entries_per_sample not in known:
            lengths = []
            for samples in (1, 2):
                replay = self._new_replay()
                args, kwargs = tree_map_only(Tensor, partial(_first, samples * entries_per_sample), self._inputs)
                with evaluation(network), network._pass(0), replay.first_pass():
                    network.wrapped(*args, **kwargs)
                lengths.append([(name, len(t) if t.dim() else 0, tuple(t.shape)) for name, t in replay.kept()])
            known[entries_per_sample] = [_entries(a, b) for a, b in zip(*lengths)]
        return known[entries_per_sample]


def _first(samples: int, tensor: Tensor) -> Tensor:
    return tensor[:samples] if tensor.dim() else tensor


def _entries(one: Tuple[str, int, tuple], two: Tuple[str, int, tuple]) -> int:
    (name, length, shape), (_, twice, shape_of_two) = one, two
    if length == twice and shape == shape_of_two:
        return 0
    if twice == 2 * length and shape[1:] == shape_of_two[1:]:
        return length
    raise ValueError(
        f'early_exit: samples must be in the first dimension of what {name!r} gives, but for twice as many of them it '
        f'goes from shape {shape} to {shape_of_two}. Later iterates cannot be computed for a part of the batch'
    )
