"""Makes any named block of any network adaptive recurrent.

Battash & Wolf, arXiv:1910.11105, section 3, with any number R of recurrent blocks: each takes the
final iterate of the one before, and the last one gives its iterates to what follows and to the loss.
"""
from contextlib import ExitStack, contextmanager
from typing import Any, List, Mapping, Sequence, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.layers import add_iterate_statistics, iterate_statistics
from kaizen_mm.layers.dynamic_conv import dynamic_kind
from kaizen_mm.layers.recurrent_block import block_output, check_norm_statistics, check_num_iterations, nearest
from kaizen_mm.layers.transparent import TransparentWrapper
from kaizen_mm.models.replay import CallRecord, EmbeddedRecurrentBlock, replay


class RecurrentNetwork(TransparentWrapper):
    """A network one or more of whose blocks are made adaptive recurrent.

    ``forward`` gives what the network gives for the last iterate, :meth:`forward_iterates` a tuple for
    all iterates. What runs after the last recurrent block runs for each iterate. The state dict has the
    names of the network, with those of the adapters and of the later iterates' norm statistics added, so
    that any checkpoint of the network is phase one. Attributes of the network can be read through this one.

    The network is changed in place. It is run a few times on ``example_input``, in evaluation mode and
    without gradients, to learn shapes and the order of its modules.

    Args:
        network: Any network. A block must run once in each of its forward passes.
        block: Name of the block, such as ``'layer4.1'``; or, for R > 1, a mapping of several blocks' names to
            their own arguments (``dynamic``, ``feedback`` and those of ``adapter``), which come before the ones
            given here.
        example_input: Input of the network, or a sequence of its positional arguments, of the size that it will
            get, on its device. Batches may be of another size.
        dynamic: Names of the layers of the block that make up ``f``; ``''`` is the block itself.
        feedback: Name of the submodule of the block that ``h`` reads; ``''`` (default) is its output.
        num_iterations: ``K``. Default 3.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``, in the block and after it, see
            :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock`.
        adapter: Further arguments of :class:`~kaizen_mm.layers.WeightAdapter`: ``alpha``, ``pool_kernel``,
            ``bound``, ``feedback_layout``, ...; ``feedback_shape`` is found out.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted; a block that does
            not run once; a dynamic layer that does not run once in it.
        TypeError: A dynamic layer that is no convolution or linear layer, or an unknown argument.
    """

    def __init__(self,
                 network: nn.Module,
                 block: Union[str, Mapping[str, dict]],
                 example_input: Union[Tensor, Sequence],
                 dynamic: Union[str, Sequence[str], None] = None,
                 feedback: str = '',
                 num_iterations: int = 3,
                 norm_statistics: str = 'per_iterate',
                 **adapter):
        super().__init__(network)
        check_num_iterations(num_iterations)
        check_norm_statistics(norm_statistics)
        common = dict(dynamic=dynamic, feedback=feedback, **adapter)
        settings = {block: common} if isinstance(block, str) else {name: {**common, **own} for name, own in block.items()}
        inputs = (example_input, ) if isinstance(example_input, Tensor) else tuple(example_input)
        for name in settings:
            outer = [other for other in settings if name.startswith(f'{other}.')]
            if outer:
                raise ValueError(f'block: {name!r} lies within {outer[0]!r}; recurrent blocks must follow one another')
        parts = {name: _block_parts(network, name, **options) for name, options in settings.items()}
        record = CallRecord(network, {path for paths in parts.values() for path in paths})
        with record.recording(), _evaluation(network):
            network(*inputs)
        shapes = {name: _feedback_shape(record, name, parts[name], options) for name, options in settings.items()}
        order = record.in_order(list(settings))
        upstream, downstream = record.around(order[-1])
        recurrent = {
            name: EmbeddedRecurrentBlock(network.get_submodule(name), feedback_shape=shapes[name],
                                         num_iterations=num_iterations, norm_statistics=norm_statistics, **options)
            for name, options in settings.items()
        }
        for name, module in recurrent.items():
            network.set_submodule(name, module.train(network.training))
        self.block_names, self.norm_statistics = tuple(order), norm_statistics
        self._upstream = tuple(upstream)
        self._norms = tuple(name for name in downstream if isinstance(network.get_submodule(name), _BatchNorm))
        self.num_iterations = num_iterations
        self.train(network.training)
        _check_replay(self, inputs)

    @property
    def recurrent_block(self) -> EmbeddedRecurrentBlock:
        """The last recurrent block, whose iterates the loss sees."""
        return self.wrapped.get_submodule(self.block_names[-1])

    @property
    def num_iterations(self) -> int:
        """``K`` of all blocks. May be changed after construction."""
        return self.recurrent_block.num_iterations

    @num_iterations.setter
    def num_iterations(self, value: int):
        for name in self.block_names:
            self.wrapped.get_submodule(name).num_iterations = value
        if self.norm_statistics == 'per_iterate':
            for name in self._norms:
                add_iterate_statistics(self.wrapped.get_submodule(name), value)

    def forward(self, *args, return_iterates: bool = False, **kwargs) -> Any:
        """The network's output for the last iterate; with ``return_iterates`` a tuple for all iterates, as
        wrappers such as DistributedDataParallel need it."""
        if return_iterates:
            return self.forward_iterates(*args, **kwargs)
        with self._statistics(self.num_iterations - 1):
            return self.wrapped(*args, **kwargs)

    def forward_iterates(self, *args, **kwargs) -> tuple:
        """The network's output for every iterate, first iterate first.

        What comes before the last recurrent block is computed once.
        """

        def run(index):
            with self._statistics(index):
                return self.wrapped(*args, **kwargs)

        return replay(self.wrapped, self.recurrent_block, self._upstream, run)

    @contextmanager
    def _statistics(self, index):
        """The norms after the block work with the statistics of one iterate."""
        with ExitStack() as stack:
            for name in self._norms:
                stack.enter_context(iterate_statistics(self.wrapped.get_submodule(name), index))
            yield

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            wrapped = self.__dict__.get('_modules', {}).get('wrapped')
            if wrapped is None or name.startswith('__'):
                raise
            return getattr(wrapped, name)


def _block_parts(network: nn.Module, name: str, dynamic, feedback: str, **adapter) -> List[str]:
    """Names in ``network`` of a block, its dynamic layers and what ``h`` reads, in this order."""
    known = dict(network.named_modules())
    if not name or name not in known:
        raise ValueError(f'block: {type(network).__name__} has no submodule {name!r}; {nearest(name, known)}')
    layers = [dynamic] if isinstance(dynamic, str) else list(dynamic or ())
    if not layers:
        raise ValueError(f'dynamic must name at least one layer of block {name!r}, got {dynamic!r}')
    inside = dict(known[name].named_modules())
    for argument, part in [('dynamic', layer) for layer in layers] + [('feedback', feedback)]:
        if part not in inside:
            raise ValueError(f'{argument}: block {name!r} has no submodule {part!r}; {nearest(part, inside)}')
    for layer in layers:
        dynamic_kind(inside[layer], f'dynamic layer {layer!r} of block {name!r}')
    return [f'{name}.{part}' if part else name for part in ('', *layers, feedback)]


def _feedback_shape(record: CallRecord, name: str, parts: List[str], options: dict) -> Tuple[int, ...]:
    """The shape ``(C, *spatial)`` of one sample's feedback map; raises what is wrong with the calls."""
    block, *layers, feedback = (record.calls[part] for part in parts)
    if len(block) != 1:
        raise ValueError(f'block: {name!r} must run once in a forward pass, it runs {len(block)} times; take a block that '
                         'runs once')
    for part, calls in zip(parts[1:], [*layers, feedback]):
        if len(calls) != 1:
            argument = 'feedback' if part == parts[-1] else 'dynamic'
            raise ValueError(f'{argument}: block {name!r} must call {part!r} once, it does so {len(calls)} times; take one '
                             'that it calls once')
    if not block[0][0] or not isinstance(block[0][0][0], Tensor):
        raise ValueError(f'block: {name!r} must get a tensor as its first positional argument, it gets '
                         f'{[type(value).__name__ for value in block[0][0]]}')
    samples, z = len(block[0][0][0]), block_output(feedback[0][1])
    if len(z) != samples:
        raise ValueError(f'feedback: {parts[-1]!r} gives a batch of {len(z)} for {samples} samples of the block; take a '
                         'module that gives one entry per sample')
    return tuple((z.movedim(-1, 1) if options.get('feedback_layout') == 'channels_last' else z).shape[1:])


@contextmanager
def _evaluation(network: nn.Module):
    """Evaluation mode without gradients; the modes of all modules are put back."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _check_replay(whole: RecurrentNetwork, inputs: tuple) -> None:
    """That the pass of an iterate gives what a pass of the whole network gives.

    It would not where code between modules changes the output of a module in place.
    """
    with _evaluation(whole):
        last = whole.forward_iterates(*inputs)[-1]
        expected = whole(*inputs)
    for got, want in zip(_tensors(last), _tensors(expected)):
        if not torch.allclose(got, want, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ValueError(f'block: {type(whole.wrapped).__name__} cannot go on from {whole.block_names[-1]!r}: a pass that '
                             'begins there gives something else than a whole one. It changes outputs of its modules in '
                             'place, or draws random numbers in evaluation mode')


def _tensors(value: Any) -> List[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for v in values for tensor in _tensors(v)]
