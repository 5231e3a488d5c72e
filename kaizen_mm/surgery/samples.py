"""Whether the samples of a batch stand where a recurrent block looks for them.

A recurrent block takes each entry of its input's first dimension for a sample with weights of its own (or, where a
clip's frames stand in the batch, for one of its frames). In a network whose maps are sequence-first, ``[L, N, C]``,
these entries are tokens of all samples, and each sample would change the weights of the others. A second batch size
tells.
"""

import warnings
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from kaizen_mm.layers.foreign_call import block_output
from kaizen_mm.layers.nested_tensors import tensors
from kaizen_mm.surgery.replay import CallRecord


def check_samples(
    network: nn.Module,
    parts: Mapping[str, Sequence[str]],
    record: CallRecord,
    single_output: Any,
    args: tuple,
    kwargs: dict,
) -> None:
    """Runs a network on twice as many samples, to find samples that would mix in its recurrent blocks.

    What blocks and dynamic layers get, what ``h`` reads, and the network's output must be twice as long in the first
    dimension. In the blocks the first half must be what the single batch gives. The second half must stay what it is
    when the first half of the input is changed. Warns where the network does not take twice as many samples, so that it
    cannot be told. To be called in evaluation mode, where batch norm mixes nothing.

    Args:
        parts: By block: names in ``network`` of the block, its dynamic layers and what ``h`` reads, in this order.
        record: Of a pass on ``args`` and ``kwargs``, that has watched all parts.
        single_output: What the network gave in it.
        args, kwargs: Input of the network.

    Raises:
        ValueError: The first dimension does not hold the samples, or they influence one another.
    """
    doubled = doubled_inputs((args, kwargs))
    if doubled is None:
        return
    try:
        twice, output = _record(network, parts, *doubled)
        other, _ = _record(network, parts, *_with_other_first_half(*doubled))
    except Exception as error:
        warnings.warn(
            f'{type(network).__name__} does not take twice the samples of example_input ({type(error).__name__}: '
            f'{error}), so that it cannot be told whether samples mix in {", ".join(map(repr, parts))}',
            stacklevel=2,
        )
        return
    for block, paths in parts.items():
        for path, one, two, changed in zip(paths, _maps(record, paths), _maps(twice, paths), _maps(other, paths)):
            if len(two) != 2 * len(one) or two.shape[1:] != one.shape[1:]:
                raise ValueError(
                    f'block: {block!r} must have the samples in the first dimension, but for twice as many of them '
                    f'the map at {path!r} goes from shape {tuple(one.shape)} to {tuple(two.shape)}. Samples would mix: '
                    "take a block whose maps are [N, ...] (batch_first=True in PyTorch's transformers)"
                )
            before = _alike(one, two[: len(one)])
            after = changed.shape == two.shape and _alike(two[len(one) :], changed[len(one) :])
            if not (before and after) and _repeats(network, parts, path, one, args, kwargs):
                raise ValueError(
                    f'block: samples influence one another in {block!r}: the map at {path!r} changes when other '
                    f'samples {"stand before them" if before else "follow"} in the batch. Maps and input must be '
                    "[N, ...], one sample's entries after the other's (batch_first=True in PyTorch's recurrent "
                    'networks and transformers)'
                )
    _check_output(network, parts, single_output, output)


def _check_output(network: nn.Module, parts: Mapping[str, Sequence[str]], single: Any, double: Any) -> None:
    one, two = ([len(tensor) for tensor in tensors(output) if tensor.dim()] for output in (single, double))
    if one and len(one) == len(two) and not any(b == 2 * a for a, b in zip(one, two)):
        raise ValueError(
            f'block: {type(network).__name__} gives outputs of length {one} in their first dimension, and {two} for an '
            'example_input that is twice as long there. So that dimension does not hold the samples, and they would '
            f'mix in {", ".join(map(repr, parts))}. Input and output must have them first '
            "(batch_first=True in PyTorch's recurrent networks and transformers)"
        )


def doubled_inputs(inputs: Any) -> Optional[Any]:
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


def _with_other_first_half(args: tuple, kwargs: dict) -> Any:
    """Of doubled inputs: the second half twice."""
    batch = next(len(tensor) for tensor in tensors((args, kwargs)) if tensor.dim())

    def change(tensor):
        return torch.cat([tensor[batch // 2 :]] * 2) if tensor.dim() and len(tensor) == batch else tensor

    return tree_map_only(Tensor, change, (args, kwargs))


def _record(
    network: nn.Module, parts: Mapping[str, Sequence[str]], args: tuple, kwargs: dict
) -> Tuple[CallRecord, Any]:
    record = CallRecord(network, {path for paths in parts.values() for path in paths})
    with record.recording():
        return record, network(*args, **kwargs)


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
    again, _ = _record(network, parts, args, kwargs)
    return any(
        _alike(value, other)
        for paths in parts.values()
        for name, other in zip(paths, _maps(again, paths))
        if name == path
    )
