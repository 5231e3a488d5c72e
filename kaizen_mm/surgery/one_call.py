"""A network made recurrent in one call, with what has been measured to help.

``docs/when_it_helps.md``: all blocks before the last map as one recurrent block, whose ``h`` reads that map; two
iterations; ``W_1`` that trains along; the global adapter, or, where inputs are of one size, the paper's.
"""

import textwrap
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_flag
from kaizen_mm.layers import build_adapter, recurrent_blocks
from kaizen_mm.surgery.advice import advice
from kaizen_mm.surgery.finding import Found, find_blocks
from kaizen_mm.surgery.inputs import arguments
from kaizen_mm.surgery.network import RecurrentNetwork

MOST_OF_H = 0.3  # weights of h beside the network's: 29 % on the photos of the study, 27 % on its clips
_WIDTHS = ((8, 2), (4, 1))  # hidden width and rank of the global adapter: of its clips, of its photos
_ALPHA = 0.1  # of the paper's adapter, on its photos


def recurrent(
    network: nn.Module,
    example_input: Union[Tensor, Sequence, Mapping],
    num_iterations: int = 2,
    fixed_size: bool = False,
    quiet: bool = False,
) -> RecurrentNetwork:
    """Makes a network recurrent, as it has been measured to help, and prints the explicit call and an advice.

    The blocks between the stem and the last map become one recurrent block, or as many of the last of them as the
    network lets be put together. ``h`` reads its output and rewrites its convolutions and linear layers, those of
    shortcuts and gates aside. Where ``h`` would be large it rewrites the first of each residual block. ``W_1`` trains
    along: to train, take ``KaizenLoss(gamma_first=1)`` from the start, or go on from a trained network.

    Args:
        network: Any network; changed in place, or left as it was where nothing fits.
        example_input: As of :class:`~kaizen_mm.surgery.RecurrentNetwork`.
        num_iterations: ``K``, at least 2. Default 2, which was as good as 3.
        fixed_size: Whether all inputs have the size of ``example_input``. Then the paper's adapter is taken, where its
            rows fit, which was the better one on photos. Default False: the global adapter, which takes any size.
        quiet: Whether nothing is printed. Default False.

    Returns:
        A network whose ``call`` is the text of the explicit call, and ``advice`` what
        :func:`~kaizen_mm.surgery.advice.advice` says of it.

    Raises:
        ValueError: No block is found, or none that can be made recurrent; the example input does not fit the network;
            ``num_iterations`` is 1.
    """
    check_flag('fixed_size', fixed_size)
    check_flag('quiet', quiet)
    if num_iterations == 1:
        raise ValueError('num_iterations must be at least 2: with 1 a network is the plain one')
    for name, _ in recurrent_blocks(network):
        raise ValueError(f'network: {type(network).__name__} has a recurrent block already, {name!r}')
    args, kwargs = arguments(example_input)
    found = find_blocks(network, args, kwargs)
    if not found:
        raise ValueError(
            f'network: no block was found in {type(network).__name__}: no convolution or linear layer runs once, on '
            'the samples, in modules that hand a tensor on. Name block and dynamic layers to RecurrentNetwork'
        )
    refusals = []
    for one in found:
        options, why = _adapter_of(network, one, fixed_size)
        if options is None:
            refusals.append(f'{one.block!r}: {why}')
            continue
        try:
            made = RecurrentNetwork(
                network, one.block, example_input, num_iterations=num_iterations, freeze_dynamic=False, **options
            )
        except (ValueError, TypeError, RuntimeError) as error:
            refusals.append(f'{one.block!r}: {error}')
            continue
        made.call = explicit_call(one.block, num_iterations, options)
        made.advice = advice(made, *args, **kwargs)
        if not quiet:
            print(f'{made.call}\n\n{why}\n{made.advice}')  # noqa: T201
        return made
    raise ValueError(f'network: no block of {type(network).__name__} can be made recurrent. ' + '; '.join(refusals[:3]))


def explicit_call(block: Any, num_iterations: int, options: Mapping) -> str:
    """The call of :class:`~kaizen_mm.surgery.RecurrentNetwork` that does the same, to be copied."""
    given = dict(block=block, example_input=None, num_iterations=num_iterations, freeze_dynamic=False, **options)
    lines = ['RecurrentNetwork(', '    network,']
    for name, value in given.items():
        text = f'{name}={"example_input" if name == "example_input" else repr(value)},'
        lines += textwrap.wrap(
            text,
            96,
            initial_indent='    ',
            subsequent_indent='        ',
            break_long_words=False,
            break_on_hyphens=False,
        )
    return '\n'.join([*lines, ')'])


def _adapter_of(network: nn.Module, one: Found, fixed_size: bool) -> Tuple[Optional[Dict[str, Any]], str]:
    """Dynamic layers and adapter, and why; None where no adapter fits."""
    shape = one.shape
    own = sum(p.numel() for p in network.parameters())
    layout = {} if one.feedback_layout == 'channels_first' else dict(feedback_layout=one.feedback_layout)
    paper = _paper_pooling(shape)
    reason = 'inputs may be of any size (fixed_size=False)'
    choices: List[Tuple[List[str], Dict[str, Any]]] = []
    if fixed_size and paper is None:
        reason = f'the last map, of size {shape[1:]}, cannot be cut into halves'
    elif fixed_size:
        reason = "the paper's adapter does not fit the layers, or would have too many weights"
        choices += [(layers, dict(alpha=_ALPHA, **(paper or {}))) for layers in (one.dynamic, one.first)]
    for layers in (one.dynamic, one.first):
        choices += [(layers, dict(adapter='global', hidden=hidden, rank=rank)) for hidden, rank in _WIDTHS]
    smallest = None
    for layers, options in choices:
        weights = _weights_of_h(network, one, layers, {**layout, **options})
        if weights is None:
            continue
        made = dict(dynamic=layers, **layout, **options)
        if weights <= MOST_OF_H * own:
            return made, _why(made, reason)
        if smallest is None or weights < smallest[0]:
            smallest = weights, made
    if smallest is None:
        return None, 'no adapter fits its layers'
    weights, made = smallest
    return made, f'{_why(made, reason)} h has {weights:,} weights beside {own:,} of the network, which is many.'


def _why(options: Mapping, reason: str) -> str:
    if options.get('adapter') == 'global':
        return f'The global adapter: {reason}.'
    return "The paper's adapter: inputs are of one size, and on photos it was the better one."


def _paper_pooling(shape: Tuple[int, ...]) -> Optional[Dict[str, Any]]:
    """Halves of each side of a map, as on the photos; None for what is no map."""
    spatial = shape[1:]
    if len(spatial) < 2 or any(size % 2 for size in spatial):
        return None
    halves = tuple(size // 2 for size in spatial)
    half = halves[0] if len(set(halves)) == 1 else halves
    return dict(pool_kernel=half, pool_stride=half)


def _weights_of_h(network: nn.Module, one: Found, layers: Sequence[str], options: Mapping) -> Optional[int]:
    root = one.block if isinstance(one.block, str) else one.block[0].rpartition('.')[0]
    names = ['.'.join(part for part in (root, layer) if part) for layer in layers]
    shapes: Dict[str, Any] = {name: network.get_submodule(name).weight.shape for name in names}
    try:
        with torch.device('meta'):
            return sum(p.numel() for p in build_adapter(one.shape, shapes, **options).parameters())
    except ValueError:
        return None
