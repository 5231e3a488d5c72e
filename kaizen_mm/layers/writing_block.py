"""Passes in which fast weights are written, and passes in which they are held."""

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.layers.fast_weights import FastWeights
from kaizen_mm.layers.merged_pass import MergedPass, can_merge

_VALUES = 16  # of each weight, by which a network is known again

if TYPE_CHECKING:
    _Block = nn.Module
else:
    _Block = object  # a mixin


class GivenIncrements:
    """Increments with which a block makes a single pass, in the place of its iterations.

    Args:
        index: The iterate that it is, from 0, whose norm statistics it has.
        increments: One for each dynamic layer.
        read: Whether ``z`` is kept. Default False.
        merged_for: For how many samples the layers have ``W_1 + dW`` and the norms the iterate's statistics in place,
            so that the block is a plain one. Default None: they have not.
    """

    def __init__(self, index: int, increments: Sequence, read: bool = False, merged_for: Optional[int] = None):
        self.index, self.increments, self.read, self.merged_for = index, increments, read, merged_for
        self.z: Any = None
        self.held: Any = None  # the pass that it belongs to, where it is merged

    @property
    def samples(self) -> Optional[int]:
        """For how many they are; None where nothing is added."""
        if self.merged_for is not None:
            return self.merged_for
        return next((len(increment.per_sample) for increment in self.increments if not increment.is_none), None)


class WritingBlock(_Block):
    """What a recurrent block has for fast weights."""

    given: Optional[GivenIncrements] = None  # set around a pass with them
    writes = False  # whether ``written`` is kept
    written: Sequence[list] = ()  # of each pass: the increments of the last iterate, one for each dynamic layer
    frozen: Sequence[str] = ()  # the dynamic layers whose weights would train in the plain block
    token: Any = None  # another object where other weights have been loaded
    decay = 1.0  # what stays of fast weights where a pass writes anew (rewriting.py)

    if TYPE_CHECKING:
        dynamic: Sequence[str]
        num_iterations: int
        wrapped: Any
        adapter: Any

    def _load_from_state_dict(self, *args):
        self.token = object()
        super()._load_from_state_dict(*args)

    def norms_run_once(self) -> List[nn.Module]:
        """The norms that run before the iterates, with the statistics of the first one.

        Raises:
            ValueError: The block does not say which ones.
        """
        if not hasattr(self.wrapped, 'prepare'):
            return []
        if not hasattr(self.wrapped, 'prepared_norms'):
            raise ValueError(
                f'{type(self.wrapped).__name__} has prepare(), but does not say by prepared_norms, a tuple of names, '
                'which of its batch norms run there'
            )
        known = dict(self.wrapped.named_modules())
        return [known[name] for name in self.wrapped.prepared_norms if name in known]

    @torch.no_grad()
    def identity(self) -> Tensor:
        """Some values of the dynamic layers' weights and of ``h``."""
        weights = [self.wrapped.get_submodule(name).weight for name in self.dynamic]
        values = [weight.flatten() for weight in [*weights, *self.adapter.parameters()]]
        return torch.cat([v[:: max(len(v) // _VALUES, 1)][:_VALUES].float() for v in values])


def writing_blocks(network: nn.Module, argument: str = 'network', modules: Sequence[nn.Module] = ()) -> List[Any]:
    """The recurrent blocks of a network that write weights; ``modules`` are those of the network, where they are at
    hand.

    Raises:
        ValueError: There are none.
    """
    blocks = [module for module in modules or network.modules() if isinstance(module, WritingBlock)]
    if not blocks or any(block.num_iterations < 2 for block in blocks):
        what = 'has num_iterations=1' if blocks else 'has no recurrent block'
        raise ValueError(
            f'{argument}: {type(network).__name__} {what}, so that no weights are written; build it with '
            'num_iterations of at least 2'
        )
    return blocks


class Written:
    """What the passes in a :func:`writing` context have written: ``weights``."""

    weights: Any = None


@contextmanager
def writing(network: nn.Module) -> Iterator[Written]:
    """The fast weights that passes of ``network`` in this context write are kept, one pass's samples after the
    other's.

    Raises:
        ValueError: It has no recurrent block, or iterates once.
    """
    blocks, result = writing_blocks(network), Written()
    for block in blocks:
        block.writes = True
    try:
        yield result
        missing = [block for block in blocks if not block.written]
        if missing:
            raise RuntimeError(f'{len(missing)} of {len(blocks)} recurrent blocks did not run and wrote nothing')
        passes = [fast_weights_of(network, list(zip(blocks, one))) for one in zip(*(block.written for block in blocks))]
        result.weights = passes[0] if len(passes) == 1 else FastWeights.cat(passes)
    finally:
        for block in blocks:
            block.writes, block.written = False, ()


def fast_weights_of(network: nn.Module, rows: Sequence[Tuple[Any, Sequence]]) -> FastWeights:
    """The fast weights of one pass, from each recurrent block and its increments, one for each dynamic layer."""
    return FastWeights(
        [{name: _own(block, name, inc) for name, inc in zip(block.dynamic, one)} for block, one in rows],
        rows[-1][0].num_iterations - 1,
        type(network).__name__,
        [block.identity() for block, _ in rows],
        [block.token for block, _ in rows],
    )


def _own(block, name, increment):
    """An increment of the dtype of the weight, and with a basis of its own: that of ``h`` may go on training."""
    dtype = block.wrapped.get_submodule(name).weight.dtype

    def usable(tensor):  # in a later pass with gradients as well
        return tensor.clone() if tensor.is_inference() else tensor

    return increment.mapped(lambda tensor: usable(tensor.to(dtype)), lambda tensor: tensor.to(dtype).clone())


@contextmanager
def holding(network: nn.Module, fast_weights: FastWeights) -> Iterator[None]:
    """A pass of ``network`` in this context is a single one, with the weights that are given.

    The norms have the statistics of the iterate whose weights they are.

    Raises:
        ValueError: Weights of another network, dtype or device; in the pass: of another number of samples.
    """
    held = merged_pass(network, fast_weights)
    blocks = held.blocks if held else [module for module in network.modules() if isinstance(module, WritingBlock)]
    outer = next((block.given.held for block in blocks if block.given is not None), None)
    if outer is not None:  # these weights are held in the place of others
        outer.leave()
    try:
        if held is None:
            with _increments_given(network, fast_weights):
                yield
            return
        held.enter()
        try:
            yield
        finally:
            held.leave()
    finally:
        if outer is not None:
            outer.enter()


@contextmanager
def _increments_given(network: nn.Module, fast_weights: FastWeights) -> Iterator[None]:
    modules = list(network.modules())
    blocks = writing_blocks(network, 'fast_weights', modules)
    check_fits(network, blocks, fast_weights)
    with ExitStack() as stack:
        for index, block in enumerate(blocks):
            layers = {name: block.wrapped.get_submodule(name) for name in block.dynamic}
            given = GivenIncrements(fast_weights.iterate, fast_weights.increments(index, layers))
            stack.enter_context(attribute_set(block, 'given', given))
        for module in modules:
            if hasattr(type(module), 'first_iterate'):
                stack.enter_context(attribute_set(module, 'first_iterate', fast_weights.iterate))
        yield


def merged_pass(network: nn.Module, weights: Any) -> Optional[MergedPass]:
    """What a pass with the weights of one sample needs, where it may be a plain one; else None.

    Raises:
        ValueError: Weights of another network, dtype or device.
    """
    if not isinstance(weights, FastWeights) or not can_merge(network) or not weights.are_of_one:
        return None
    held = weights.merged_pass
    if held is None or not held.is_of(network, weights):
        blocks = writing_blocks(network, 'fast_weights')
        check_fits(network, blocks, weights)
        if any(block.given is not None for block in blocks):
            return None  # within a pass with other weights, which are to be looked up without these
        given = GivenIncrements(weights.iterate, (), merged_for=len(weights))
        held = weights.merged_pass = MergedPass(network, blocks, weights, given)
    return held


@contextmanager
def attribute_set(module: nn.Module, name: str, value: Any) -> Iterator[None]:
    """An attribute of a module has another value."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def check_fits(network: nn.Module, blocks: Sequence[Any], weights: Any) -> None:
    """Raises ValueError unless fast weights are those of a network whose recurrent blocks are given."""
    if not isinstance(weights, FastWeights):
        raise ValueError(
            f'fast_weights must be FastWeights, as written_weights() gives them, got {type(weights).__name__}'
        )
    layers = [{name: block.wrapped.get_submodule(name).weight for name in block.dynamic} for block in blocks]
    fits = [list(block) for block in layers] == [list(block) for block in weights.blocks] and all(
        increment.low_rank == block.adapter.low_rank and increment.fits(shapes[name].shape)
        for block, shapes, increments in zip(blocks, layers, weights.blocks)
        for name, increment in increments.items()
    )
    first = layers[0][blocks[0].dynamic[0]]
    if fits and weights.device != first.device:
        raise ValueError(
            f'fast_weights: they are on {weights.device} and the network on {first.device}; move them by .to()'
        )
    if fits and weights.dtype != first.dtype:
        raise ValueError(f'fast_weights: they are {weights.dtype} and the network {first.dtype}; change them by .to()')
    tokens = [block.token for block in blocks]
    if not fits or not weights.same_network(lambda: [block.identity() for block in blocks], tokens):
        raise ValueError(
            f'fast_weights: they were written by another network (a {weights.network}) or by one of other weights; '
            f'take those that written_weights() of this {type(network).__name__} gives'
        )
    weights.tokens = tuple(tokens)  # known from now on
