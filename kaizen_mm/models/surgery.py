"""Makes any named block of any network adaptive recurrent.

Battash & Wolf, arXiv:1910.11105, section 3, with any number R of recurrent blocks: each takes the
final iterate of the one before, and the last one gives its iterates to what follows and to the loss.
"""

import inspect
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import Any, List, Mapping, Sequence, Union

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.layers import add_iterate_statistics, iterate_statistics
from kaizen_mm.layers.checkpointing import checkpointed, checkpointing_off, checkpoints
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.first_weights import warn_of_untrained_first_weights
from kaizen_mm.layers.iterate_statistics import restore_iterate_statistics
from kaizen_mm.layers.recurrent_block import check_norm_statistics, check_num_iterations
from kaizen_mm.layers.transparent import DelegatingWrapper, forward_replaced
from kaizen_mm.models.inputs import arguments, constant, is_flag, most_arguments
from kaizen_mm.models.replay import CallRecord, EmbeddedRecurrentBlock, Replay, ancestors, tensors
from kaizen_mm.models.samples import check_samples
from kaizen_mm.models.span import Span
from kaizen_mm.models.surgery_arguments import block_parts, block_settings, check_adapter, feedback_shape_of


class RecurrentNetwork(DelegatingWrapper):
    """A network one or more of whose blocks are made adaptive recurrent.

    ``forward`` gives what the network gives for the last iterate, :meth:`forward_iterates` a tuple for
    all iterates. What runs after the last recurrent block runs for each iterate. The state dict has the
    names of the network, with those of the adapters and of the later iterates' norm statistics added, so
    that any checkpoint of the network is phase one. Attributes of the network can be read through this one;
    methods such as ``forward_features`` are those of the last iterate.

    The network is changed in place, or left as it was where an argument cannot be used. It is run a few times on
    ``example_input``, in evaluation mode and without gradients, to learn shapes and the order of its modules, and once
    on twice as many samples, to see that they stand in the first dimension and do not influence one another.

    Where modules checkpoint gradients (``with_cp`` in OpenMMLab, ``grad_checkpointing`` in timm), the recurrent block
    checkpoints each iterate, and containers around the last one leave it to what they hold. Checkpoints of other
    kinds must not lie around it when all iterates are asked for.

    Args:
        network: Any network. A block must run once in each of its forward passes.
        block: Name of the block, such as ``'layer4.1'``; or a sequence of consecutive submodules that make up one
            block, such as ``['layer3', 'layer4']``, whose parts are then called ``'layer3.0.conv1'`` and so on, and
            whose state dict keeps its names; or, for R > 1, a mapping of several blocks' names to their own arguments
            (``dynamic``, ``feedback`` and those of ``adapter``), which come before the ones given here.
        example_input: Input of the network, a sequence of its positional or a mapping of its keyword arguments, of
            the size that it will get, on its device. Batches may be of another size.
        dynamic: Names of the layers of the block that make up ``f``; ``''`` is the block itself.
        feedback: Name of the submodule of the block that ``h`` reads; ``''`` (default) is its output.
        num_iterations: ``K``. Default 3.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``, in the block and after it, see
            :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock`.
        freeze_dynamic: Whether ``W_1`` keeps the values that it has (default).
        adapter: Further arguments of :class:`~kaizen_mm.layers.WeightAdapter`: ``adapter``, ``alpha``, ``pool_kernel``,
            ``bound``, ``feedback_layout``, ...; ``feedback_shape`` is found out.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted; a block that does
            not run once, or whose samples would mix (maps ``[L, N, C]``); a dynamic layer that does not run once in it.
        TypeError: A dynamic layer that is no convolution or linear layer, or an unknown argument.
    """

    def __init__(
        self,
        network: nn.Module,
        block: Union[str, Mapping[str, dict]],
        example_input: Union[Tensor, Sequence, Mapping],
        dynamic: Union[str, Sequence[str], None] = None,
        feedback: str = '',
        num_iterations: int = 3,
        norm_statistics: str = 'per_iterate',
        freeze_dynamic: bool = True,
        **adapter,
    ):
        super().__init__(network)
        check_num_iterations(num_iterations)
        check_norm_statistics(norm_statistics)
        args, kwargs = arguments(example_input)
        common = dict(dynamic=dynamic, feedback=feedback, **adapter)
        own = dict(num_iterations=num_iterations, norm_statistics=norm_statistics, freeze_dynamic=freeze_dynamic)
        self.span = None  # of a block that is a sequence of submodules
        if not isinstance(block, (list, tuple)):
            self._make_recurrent(block_settings(block, common), args, kwargs, own)
            return
        span = Span(network, block, args, kwargs)
        try:
            self._make_recurrent({block[0]: common}, args, kwargs, own)
        except Exception:
            span.dissolve(network)
            raise
        span.keep_names(self)
        self.__dict__['span'] = span  # a child of the block already

    def _make_recurrent(self, settings, args, kwargs, own):
        network, num_iterations = self.wrapped, own['num_iterations']
        parts = {name: block_parts(network, name, **options) for name, options in settings.items()}
        record = CallRecord(network, {path for paths in parts.values() for path in paths})
        with record.recording(), evaluation(network):
            network(*args, **kwargs)
        for name, options in settings.items():
            options['feedback_shape'] = feedback_shape_of(record, name, parts[name], options)
            if num_iterations > 1:
                check_adapter(network, name, **options)
        order = record.in_order(list(settings))
        upstream, downstream, later = record.around(order[-1])
        with evaluation(network):
            if num_iterations > 1:
                check_samples(network, parts, record, args, kwargs)
            copied = _copied(network, order, upstream, args, kwargs)
        for name, options in settings.items():
            plain = network.get_submodule(name)
            _put(network, plain, EmbeddedRecurrentBlock(plain, **own, **options))
        self.block_names, self.norm_statistics = tuple(order), own['norm_statistics']
        self.training = network.training
        self._most_arguments = most_arguments(network)
        self._upstream, self._downstream, self._copied = tuple(upstream), tuple(downstream), tuple(copied)
        self._norms = tuple(name for name in later if isinstance(network.get_submodule(name), _BatchNorm))
        self.num_iterations = num_iterations
        with evaluation(self):
            self.forward_iterates(*args, **kwargs)

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
            add_iterate_statistics(self.wrapped, value, self._norms)

    def forward(self, *args, return_iterates: bool = False, **kwargs) -> Any:
        """The network's output for the last iterate; with ``return_iterates`` a tuple for all iterates, as
        wrappers such as DistributedDataParallel need it. It may also come last among the positional arguments, as
        ``torch.onnx.export(dynamo=False)`` gives it, where the network takes less of them."""
        if len(args) > self._most_arguments and is_flag(args[-1]):
            return_iterates, args = constant(args[-1]), args[:-1]
        if return_iterates:
            return self.forward_iterates(*args, **kwargs)
        with self._pass(self.num_iterations - 1):
            return self.wrapped(*args, **kwargs)

    def forward_iterates(self, *args, **kwargs) -> tuple:
        """The network's output for every iterate, first iterate first.

        What comes before the last recurrent block is computed once.

        Raises:
            RuntimeError: The network changes in place what it computed before the block.
        """
        if self.num_iterations == 1:
            return (self.wrapped(*args, **kwargs),)
        outputs: List[Any] = []
        block = self.recurrent_block
        replay = Replay(self.wrapped, self.block_names[-1], self._upstream, self._copied)
        with block.held():
            for block.index in range(self.num_iterations):
                with self._pass(block.index), replay.later_pass() if outputs else replay.first_pass():
                    outputs.append(self.wrapped(*args, **kwargs))
                if replay.changed():
                    raise RuntimeError(
                        f'block: {type(self.wrapped).__name__} changes the output of {replay.changed()[0]!r} in '
                        f'place, but each iterate of {self.block_names[-1]!r} needs it as it was; set '
                        'inplace=False there, where it has such a switch, or take another block'
                    )
        return tuple(outputs)

    @contextmanager
    def _pass(self, index):
        """One pass: the norms after the last block have the statistics of an iterate, and gradient checkpoints
        around the block give way to ones of what comes before and after it."""
        network = self.wrapped
        if self.num_iterations == 1:
            yield
            return
        warn_of_untrained_first_weights(self)
        around = [network.get_submodule(name) for name in ancestors(self.block_names[-1])]
        with ExitStack() as stack:
            if torch.is_grad_enabled() and checkpoints(network.modules()):
                for name in {**dict.fromkeys(self._upstream), **dict.fromkeys(self._downstream)}:
                    module = network.get_submodule(name)
                    own = checkpoints(module.modules())
                    if (own and self._has_norms(name)) or (not own and checkpoints(around) and len(module._modules)):
                        stack.enter_context(forward_replaced(module, partial(_checkpointed, module, module.forward)))
            stack.enter_context(checkpointing_off(around))
            restore_iterate_statistics(network)
            for name in self._norms:
                stack.enter_context(iterate_statistics(network.get_submodule(name), index))
            yield

    def _has_norms(self, name):
        return any(norm == name or norm.startswith(f'{name}.') for norm in self._norms)

    def __getattr__(self, name):
        value = super().__getattr__(name)
        if not name.startswith(('forward', 'extract_feat')) or not inspect.ismethod(value):
            return value

        @wraps(value)
        def method(*args, **kwargs):
            with self._pass(self.num_iterations - 1):
                return value(*args, **kwargs)

        return method


def _copied(network: nn.Module, blocks: List[str], upstream: List[str], args: tuple, kwargs: dict) -> List[str]:
    """The modules of whose outputs :class:`Replay` must keep copies, as the network changes them in place.

    Raises:
        ValueError: A pass that begins at the last block gives something else than a whole one, or the network
            does not call its submodule of a block's name.
    """
    plain = {name: network.get_submodule(name) for name in blocks}
    probes = {name: _Probe(module) for name, module in plain.items()}
    try:
        for name, probe in probes.items():
            _put(network, plain[name], probe)
        copied = [blocks[-1]]
        for _ in range(2):
            replay = Replay(network, blocks[-1], [*upstream, blocks[-1]], copied)
            with replay.first_pass():
                expected = network(*args, **kwargs)
            expected = [tensor.clone() for tensor in tensors(expected)]
            with replay.later_pass():
                again = tensors(network(*args, **kwargs))
            copied = [*copied, *replay.changed()]
    finally:
        for name, probe in probes.items():
            _put(network, probe, plain[name])
    for name, probe in probes.items():
        if not probe.has_run:
            raise ValueError(
                f'block: {type(network).__name__} does not call {name!r} by its place among the submodules, but '
                'by a reference of its own, such as a list; no other module can be put there'
            )
    if len(again) != len(expected) or not all(
        torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in zip(again, expected)
    ):
        raise ValueError(
            f'block: {type(network).__name__} cannot go on from {blocks[-1]!r}: a pass that begins there gives '
            'something else than a whole one. It changes outputs of its modules in place, or draws random '
            'numbers in evaluation mode'
        )
    return copied[1:]


class _Probe(DelegatingWrapper):
    """Stands in the place of a block and notes whether it is called."""

    has_run = False

    def forward(self, *args, **kwargs):
        self.has_run = True
        return self.wrapped(*args, **kwargs)


def _put(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replaces a submodule wherever it is registered."""
    for parent in list(network.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new
    new.training = old.training


def _checkpointed(module, forward, *args, **kwargs):

    def run(*args, **kwargs):
        with checkpointing_off(module.modules()):
            return forward(*args, **kwargs)

    return checkpointed(run, module, *args, **kwargs)
