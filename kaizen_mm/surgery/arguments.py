"""The blocks, layers and feedback that :class:`~kaizen_mm.models.RecurrentNetwork` is told, and whether they can be."""

from typing import Any, Dict, List, Mapping, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_text
from kaizen_mm.layers import build_adapter
from kaizen_mm.layers.dynamic_conv import dynamic_kind
from kaizen_mm.layers.foreign_call import block_output
from kaizen_mm.layers.recurrent_block import dynamic_names, nearest
from kaizen_mm.surgery.replay import CallRecord


def block_settings(block, common: dict) -> Dict[str, dict]:
    """The arguments of each block."""
    if not isinstance(block, (str, Mapping)) or not block:
        raise ValueError(
            'block must be the name of a submodule, or a mapping of names to arguments, or a sequence of names, got '
            f'{block!r}'
        )
    if isinstance(block, Mapping) and not all(
        isinstance(n, str) and isinstance(own, Mapping) for n, own in block.items()
    ):
        raise ValueError(f'block must map names of submodules to their arguments, got {block!r}')
    settings = {block: common} if isinstance(block, str) else {name: {**common, **own} for name, own in block.items()}
    for name in settings:
        for other in settings:
            if name.startswith(f'{other}.'):
                raise ValueError(f'block: {name!r} lies within {other!r}; recurrent blocks must follow one another')
    return settings


def block_parts(network: nn.Module, name: str, dynamic, feedback: str, **adapter) -> List[str]:
    """Names in ``network`` of a block, its dynamic layers and what ``h`` reads, in this order."""
    known = dict(network.named_modules())
    if not name or name not in known:
        raise ValueError(f'block: {type(network).__name__} has no submodule {name!r}; {nearest(name, known)}')
    layers = dynamic_names(dynamic, f'block {name!r}')
    check_text('feedback', feedback, "the name of a submodule of the block, '' for its output")
    inside = dict(known[name].named_modules())
    for argument, part in [('dynamic', layer) for layer in layers] + [('feedback', feedback)]:
        if part not in inside:
            raise ValueError(f'{argument}: block {name!r} has no submodule {part!r}; {nearest(part, inside)}')
    for layer in layers:
        dynamic_kind(inside[layer], f'dynamic layer {layer!r} of block {name!r}')
    return [f'{name}.{part}' if part else name for part in ('', *layers, feedback)]


def feedback_shape_of(record: CallRecord, name: str, parts: List[str], options: dict) -> Tuple[int, ...]:
    """The shape ``(C, *spatial)`` of one sample's feedback map; raises what is wrong with the calls."""
    block, *layers, feedback = (record.calls[part] for part in parts)
    if len(block) != 1:
        raise ValueError(
            f'block: {name!r} must run once in a forward pass, it runs {len(block)} times; take a block that runs once'
        )
    for part, calls in zip(parts[1:], [*layers, feedback]):
        if len(calls) != 1:
            argument = 'feedback' if part == parts[-1] else 'dynamic'
            raise ValueError(
                f'{argument}: block {name!r} must call {part!r} once, it does so {len(calls)} times; take one '
                'that it calls once'
            )
    if not block[0][0] or not isinstance(block[0][0][0], Tensor):
        raise ValueError(
            f'block: {name!r} must get a tensor as its first positional argument, it gets '
            f'{[type(value).__name__ for value in block[0][0]]}'
        )
    samples, z = len(block[0][0][0]), block_output(feedback[0][1])
    for part, calls in zip(parts[1:], layers):
        if len(calls[0][0][0]) % samples:
            raise ValueError(
                f'dynamic: {part!r} gets a batch of {len(calls[0][0][0])} for {samples} samples of the block. '
                'Take a layer that gets the same number of entries for each sample'
            )
    if len(z) != samples:
        raise ValueError(
            f'feedback: {parts[-1]!r} gives a batch of {len(z)} for {samples} samples of the block; take a '
            'module that gives one entry per sample'
        )
    if not z.is_floating_point():
        raise ValueError(
            f'feedback: {parts[-1]!r} gives numbers of {z.dtype}; take a module that gives real floating-point ones'
        )
    return tuple((z.movedim(-1, 1) if options.get('feedback_layout') == 'channels_last' else z).shape[1:])


def check_adapter(network: nn.Module, name: str, dynamic, feedback: str, feedback_shape: tuple, **adapter) -> None:
    """Raises what is wrong with the arguments of an adapter, before anything of the network is changed."""
    with torch.device('meta'):
        layers: Dict[str, Any] = {
            layer: network.get_submodule(f'{name}.{layer}' if layer else name) for layer in dynamic_names(dynamic)
        }
        build_adapter(feedback_shape, {layer: module.weight.shape for layer, module in layers.items()}, **adapter)
