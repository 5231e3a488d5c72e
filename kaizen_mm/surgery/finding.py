"""Stem, stages and head of a network, found by what its modules hand to one another.

No list of architectures: in one pass it is seen which modules that lie side by side run one after the other, each on
what the one before gives. That finds the stages of timm, torchvision, mmpretrain and mmaction2 (``layer1`` to
``layer4``, ``stages``, ``blocks``, ``features``) and the layers of transformers; where timm says by ``feature_info``
which module gives the last map, that ends them.
"""

import re
from itertools import accumulate
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from torch import Tensor, nn

from kaizen_mm.layers.dynamic_conv import dynamic_kind
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.nested_tensors import tensors
from kaizen_mm.surgery.replay import CallRecord
from kaizen_mm.surgery.samples import doubled_inputs

# beside the path of a block: shortcuts, gates, tables of positions
_BESIDE = re.compile(
    r'(^|[._])(downsample|shortcut|skip|identity|proj_skip|se|se_module|squeeze_excit\w*|gate|cpb_mlp|rel_pos\w*|'
    r'relative_\w*|pos_\w*|attn_pool)\d*([._]|$)'
)


class Found(NamedTuple):
    """A block, in the words of :class:`~kaizen_mm.surgery.RecurrentNetwork`.

    ``block``: the name of a submodule, or those of several that follow one another; ``dynamic``: the names of its
    layers; ``first``: those of them that open the innermost blocks; ``feedback_layout``; ``shape``: ``(C, *spatial)``
    of one sample's output.
    """

    block: Any
    dynamic: List[str]
    first: List[str]
    feedback_layout: str
    shape: Tuple[int, ...]


def find_blocks(network: nn.Module, args: tuple, kwargs: dict) -> List[Found]:
    """The blocks before the last map of a network, the best choice first: all of them as one, then fewer.

    Args:
        network: Any network; it is run twice in evaluation mode.
        args, kwargs: Its input.

    Returns:
        None at all where nothing was found.

    Raises:
        ValueError: The network does not run on the input.
    """
    names = [name for name, _ in network.named_modules()]
    record, double = CallRecord(network, names), None
    try:
        with evaluation(network), record.recording():
            output = network(*args, **kwargs)
    except Exception as error:  # of whatever kind the network raises for an input that it does not take
        shapes = [tuple(tensor.shape) for tensor in tensors((args, kwargs))]
        raise ValueError(
            f'example_input: {type(network).__name__} does not run on it (shapes {shapes}): '
            f'{type(error).__name__}: {error}'
        ) from error
    inputs = doubled_inputs((args, kwargs))
    if inputs is not None:
        double = CallRecord(network, names)
        try:
            with evaluation(network), double.recording():
                network(*inputs[0], **inputs[1])
        except Exception:  # of whatever kind, where it takes one batch size alone
            double = None
    layers = _dynamic_layers(network, record, double)
    found: List[Found] = []
    for chain in _chains(network, record, layers, output):
        for start in range(len(chain)):
            part = chain[start:]
            one = _found(network, record, part, layers)
            if one is not None and one.block not in [other.block for other in found]:
                found.append(one)
    return found


def _dynamic_layers(network: nn.Module, record: CallRecord, double: Optional[CallRecord]) -> List[str]:
    """Layers that can be dynamic: each runs once, on the samples."""
    layers = []
    for name, module in network.named_modules():
        calls = record.calls[name]
        if len(calls) != 1 or _BESIDE.search(name) or not _can_be_dynamic(module):
            continue
        x = calls[0][0][0] if calls[0][0] else None
        if not isinstance(x, Tensor) or not isinstance(calls[0][1], Tensor):
            continue
        if double is not None:
            again = double.calls[name]
            if len(again) != 1 or len(again[0][0][0]) != 2 * len(x):
                continue
        layers.append(name)
    return record.in_order(layers)


def _can_be_dynamic(module: nn.Module) -> bool:
    try:
        dynamic_kind(module)
    except TypeError:
        return False
    return True


def _chains(network: nn.Module, record: CallRecord, layers: Sequence[str], output: Any) -> List[List[str]]:
    """Modules that lie side by side and hand a tensor on, cut to what holds the stages. Those that give a map come
    first, of these those at the end of the network, and of these those of the most multiply-adds. The layer that runs
    first is the stem's."""
    work = {name: _multiply_adds(network.get_submodule(name), record.calls[name][0][1]) for name in layers}
    ends, done = _ends(network), dict(zip(layers, accumulate(work.values())))
    found: List[List[str]] = []
    for stem in (layers[:1], []):  # with the stem only where nothing is left without
        runs = []
        for run in _all_runs(network, record):
            without = [name for name in run if not any(_within(layer, name) for layer in stem)]
            cut = _cut(without, layers, ends, record, output)
            if cut:
                inside = [layer for layer in layers if any(_within(layer, part) for part in cut)]
                y = _first(record.calls[cut[-1]][0][1])
                is_map = y is not None and y.dim() > 2
                after = [
                    layer for layer in layers[layers.index(inside[-1]) + 1 :] if record.calls[layer][0][1].dim() > 2
                ]
                at_the_end = len(after) <= 1 or done[inside[-1]] >= 0.9 * sum(work.values())
                own = sum(work[layer] for layer in inside)
                runs.append((not is_map, not at_the_end, -own, -layers.index(inside[-1]), cut))
        found += [cut for *_, cut in sorted(runs, key=lambda entry: entry[:4])]
    return found


def _multiply_adds(layer: Any, y: Tensor) -> int:
    return layer.weight.numel() * y.numel() // len(layer.weight)


def _first(output: Any) -> Optional[Tensor]:
    """A module's output, or the first of several, if that is a tensor."""
    output = output[0] if isinstance(output, (tuple, list)) and output else output
    return output if isinstance(output, Tensor) else None


def _all_runs(network: nn.Module, record: CallRecord) -> Iterator[List[str]]:
    for parent in record.calls:
        children = [
            f'{parent}.{name}' if parent else name for name, _ in network.get_submodule(parent).named_children()
        ]
        yield from _runs(record, record.in_order([name for name in children if len(record.calls[name]) == 1]))


def _ends(network: nn.Module) -> List[str]:
    """The modules that give maps, as timm says it."""
    info = getattr(network, 'feature_info', None)
    entries = info if isinstance(info, (list, tuple)) else getattr(info, 'info', [])
    return [entry['module'] for entry in entries if isinstance(entry, dict) and 'module' in entry]


def _runs(record: CallRecord, names: Sequence[str]) -> List[List[str]]:
    """Names in the order of their calls, cut where one does not take what the one before gives and that alone."""
    runs: List[List[str]] = []
    for name in names:
        inputs = record.calls[name][0][0]
        if runs and len(inputs) == 1 and inputs[0] is record.calls[runs[-1][-1]][0][1]:
            runs[-1].append(name)
        elif inputs and isinstance(inputs[0], Tensor):
            runs.append([name])
    return runs


def _cut(run: Sequence[str], layers: Sequence[str], ends: Sequence[str], record: CallRecord, output: Any) -> List[str]:
    """From the first stage to the last: what holds two layers or more, or, where nothing does, one."""
    counts = {name: sum(_within(layer, name) for layer in layers) for name in run}
    stages = [name for name in run if counts[name] > 1]
    if not stages:
        stages = [name for name in run if counts[name] == 1]
        y = record.calls[stages[-1]][0][1] if stages else None
        if isinstance(y, Tensor) and y.dim() == 2 and any(y is tensor for tensor in tensors(output)):
            stages = stages[:-1]  # the classifier
    if not stages:
        return []
    last = max((run.index(name) for name in stages), default=0)
    within = [index for index, name in enumerate(run) if any(_within(end, name) for end in ends)]
    if within and counts[run[max(within)]] and run.index(stages[0]) <= max(within):
        last = max(within)
    return list(run[run.index(stages[0]) : last + 1])


def _within(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f'{parent}.')


def _found(network: nn.Module, record: CallRecord, part: List[str], layers: Sequence[str]) -> Optional[Found]:
    parts = [(name, [layer for layer in layers if _within(layer, name)]) for name in part]
    inside = [layer for _, own in parts for layer in own]
    z = _first(record.calls[part[-1]][0][1])
    if not inside or z is None or not z.is_floating_point() or z.dim() < 2:
        return None
    first = [own for own in inside if not any(_same_block(other, own) for other in inside[: inside.index(own)])]

    def named(layer: str) -> str:
        if len(part) == 1:
            return layer[len(part[0]) + 1 :]
        return layer[len(part[0].rpartition('.')[0]) :].lstrip('.')

    layout = _layout(network, record, inside, z)
    return Found(
        part[0] if len(part) == 1 else part,
        [named(layer) for layer in inside],
        [named(layer) for layer in first],
        layout,
        tuple((z.movedim(-1, 1) if layout == 'channels_last' else z).shape[1:]),
    )


def _same_block(one: str, other: str) -> bool:
    """Whether two layers are parts of one innermost block: their names differ after the last number of a module."""
    return _block_of(one) == _block_of(other)


def _block_of(name: str) -> Tuple[str, ...]:
    parts = name.split('.')[:-1]
    while parts and not re.search(r'\d$', parts[-1]):
        parts.pop()
    return tuple(parts) or (name,)


def _layout(network: nn.Module, record: CallRecord, inside: Sequence[str], z: Tensor) -> str:
    """Where the channels of a map are, from the last layers and norms before it."""
    if z.dim() == 2:
        return 'channels_first'
    for name, module in reversed(list(network.named_modules())):
        calls = record.calls[name]
        is_one = _can_be_dynamic(module) or isinstance(module, (nn.LayerNorm, nn.modules.batchnorm._BatchNorm))
        if not is_one or not calls or not any(_within(name, layer.rpartition('.')[0]) for layer in inside):
            continue
        y = calls[-1][1]
        if isinstance(y, Tensor) and y.shape == z.shape:
            return 'channels_last' if isinstance(module, (nn.Linear, nn.LayerNorm)) else 'channels_first'
    channels: Dict[str, int] = {'channels_first': z.shape[1], 'channels_last': z.shape[-1]}
    last: Any = network.get_submodule(inside[-1])
    rows = len(last.weight)
    return next((layout for layout, size in channels.items() if size == rows), 'channels_first')
