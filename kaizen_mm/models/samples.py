"""Whether the samples of a batch stand where a recurrent block looks for them.

A recurrent block takes each entry of its input's first dimension for a sample with weights of its own (or, where a
clip's frames stand in the batch, for one of its frames). In a network whose maps are sequence-first, ``[L, N, C]``,
these entries are tokens of all samples, and each sample would change the weights of the others. A second batch size
tells.
"""

import warnings
from typing import Any, List, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from kaizen_mm.layers.foreign_call import block_output
from kaizen_mm.models.replay import CallRecord, tensors


def check_samples(
    network: nn.Module, parts: Mapping[str, Sequence[str]], record: CallRecord, args: tuple, kwargs: dict
) -> None:
    """Runs a network on twice as many samples, to find samples that would mix in its recurrent blocks.

    What blocks and dynamic layers get, and what ``h`` reads, must be twice as long in the first dimension, and its
    first half must be what the single batch gives. Warns where the network does not take twice as many samples, so that
    it cannot be told. To be called in evaluation mode, where batch norm mixes nothing.

    Args:
        parts: By block: names in ``network`` of the block, its dynamic layers and what ``h`` reads, in this order.
        record: Of a pass on ``args`` and ``kwargs``, that has watched all parts.
        args, kwargs: Input of the network.

    Raises:
        ValueError: The first dimension does not hold the samples, or they influence one another.
    """
    doubled = _doubled((args, kwargs))
    if doubled is None:
        return
    try:
        twice = _record(network, parts, *doubled)
    except Exception as error:
        warnings.warn(
            f'{type(network).__name__} does not take twice the samples of example_input ({type(error).__name__}: '
            f'{error}), so that it cannot be told whether samples mix in {", ".join(map(repr, parts))}',
            stacklevel=2,
        )
        return
    for block, paths in parts.items():
        for path, one, two in zip(paths, _maps(record, paths), _maps(twice, paths)):
            if len(two) != 2 * len(one) or two.shape[1:] != one.shape[1:]:
                raise ValueError(
                    f'block: {block!r} must have the samples in the first dimension, but for twice as many of them '
                    f'the map at {path!r} goes from shape {tuple(one.shape)} to {tuple(two.shape)}: samples would '
                    f'mix. Take a block '
                    "whose maps are [N, ...] (batch_first=True in PyTorch's transformers)"
                )
            if not _alike(one, two[: len(one)]) and _repeats(network, parts, path, one, args, kwargs):
                raise ValueError(
                    f'block: samples influence one another in {block!r}: the map at {path!r} changes when other '
                    f'samples '
                    "follow in the batch. Take a block whose maps are [N, ...], one sample's entries after the other's"
                )


def _doubled(inputs: Any) -> Optional[Any]:
    """Other samples put behind those of all tensors that hold samples; None where there is no such tensor."""
    batches = [len(tensor) for tensor in tensors(inputs) if tensor.dim()]
    if not batches:
        return None

    def double(tensor):
        if not tensor.dim() or len(tensor) != batches[0]:
            return tensor
        other = tensor.flip(tuple(range(1, tensor.dim())))
        return torch.cat([tensor, 0.5 * other + 1 if tensor.is_floating_point() else other])

    return tree_map_only(Tensor, double, inputs)


def _record(network: nn.Module, parts: Mapping[str, Sequence[str]], args: tuple, kwargs: dict) -> CallRecord:
    record = CallRecord(network, {path for paths in parts.values() for path in paths})
    with record.recording():
        network(*args, **kwargs)
    return record


def _maps(record: CallRecord, paths: Sequence[str]) -> List[Tensor]:
    """What a block and its dynamic layers got, and what ``h`` read."""
    *getting, feedback = paths
    return [*(record.calls[path][0][0][0] for path in getting), block_output(record.calls[feedback][0][1])]


def _alike(first: Tensor, second: Tensor) -> bool:
    """Whether two maps differ by no more than another order of summation makes them."""
    tolerance = 1e-3 if first.dtype in (torch.float32, torch.float64) else 5e-2
    first, second = first.double(), second.double()
    return bool((first - second).norm() <= tolerance * first.norm())


def _repeats(network, parts, path: str, value: Tensor, args: tuple, kwargs: dict) -> bool:
    """Whether another pass on the same input gives the same, that is, the network draws no random numbers."""
    again = _record(network, parts, args, kwargs)
    return any(
        _alike(value, other)
        for paths in parts.values()
        for name, other in zip(paths, _maps(again, paths))
        if name == path
    )
