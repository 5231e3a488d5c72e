"""Makes any named block of any network adaptive recurrent.

Battash & Wolf, arXiv:1910.11105, section 3, with any number R of recurrent blocks. Each takes the final iterate of the
one before. The last one gives its iterates to what follows and to the loss.
"""

import inspect
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from functools import partial, wraps
from typing import Any, List, Mapping, Optional, Sequence, Set, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.layers import add_iterate_statistics, iterate_statistics
from kaizen_mm.layers.call_state import CallState
from kaizen_mm.layers.checkpointing import checkpointed, checkpointing_off, checkpoints
from kaizen_mm.layers.early_exit import check_early_exit, exited
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.layers.fast_weight_methods import FastWeightMethods
from kaizen_mm.layers.first_weights import warn_of_untrained_first_weights
from kaizen_mm.layers.iterate_statistics import restore_iterate_statistics
from kaizen_mm.layers.recurrent_block import check_norm_statistics, check_num_iterations, dynamic_names
from kaizen_mm.layers.transparent import DelegatingWrapper, forward_replaced
from kaizen_mm.surgery.arguments import block_parts, block_settings, check_adapter, feedback_shape_of
from kaizen_mm.surgery.early_exit import NetworkPasses
from kaizen_mm.surgery.inputs import arguments, constant, is_flag, most_arguments
from kaizen_mm.surgery.parameter_groups import group_matcher_of, network_name
from kaizen_mm.surgery.replay import CallRecord, EmbeddedRecurrentBlock, Replay, ancestors
from kaizen_mm.surgery.samples import check_samples
from kaizen_mm.surgery.span import Span
from kaizen_mm.surgery.trial import copied_outputs, put


class RecurrentNetwork(FastWeightMethods, DelegatingWrapper):
    """A network one or more of whose blocks are made adaptive recurrent.

    ``forward`` gives what the network gives for the last iterate, :meth:`forward_iterates` a tuple for all iterates.
    What follows the last recurrent block runs for each iterate. In ``forward`` it runs for the last one alone, except
    in training where batch norms follow, which need the statistics of each iterate. The state dict has the names of the
    network; those of the adapters and of the later iterates' norm statistics are added. So any checkpoint of the
    network is phase one. Attributes of the network can be read through this one; methods such as ``forward_features``
    are those of the last iterate.

    The network is changed in place, or left as it was where an argument cannot be used. It is run a few times on
    ``example_input``, in evaluation mode and without gradients, to learn shapes and the order of its modules. It is run
    on twice as many samples, to see that they stand in the first dimension and do not influence one another. Its blocks
    are run in training mode as well, with copies of their tensors, to see that they give the same when they run again
    and that gradients reach the dynamic layers.

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
        adapter: Further arguments of :func:`~kaizen_mm.layers.build_adapter`: ``adapter``, ``alpha``, ``pool_kernel``,
            ``bound``, ``feedback_layout``, ...; ``feedback_shape`` is found out.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted; a block that does
            not run once, whose samples would mix (maps ``[L, N, C]``), or that gives something else when it runs again;
            a dynamic layer that does not run once in it, or to which no gradient comes.
        TypeError: A dynamic layer that is no convolution or linear layer, or an unknown argument.
    """

    span: Optional[Span] = None  # of a block that is a sequence of submodules
    made_with: dict  # the arguments but the network and its input
    made_for: Optional[Tuple[int, ...]]  # shape of the example input; None where that is not one tensor

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
        self.made_with = dict(block=block, **common, **own)
        self.made_for = tuple(example_input.shape) if isinstance(example_input, Tensor) else None
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
            output = network(*args, **kwargs)
        for name, options in settings.items():
            options['feedback_shape'] = feedback_shape_of(record, name, parts[name], options)
            if num_iterations > 1:
                check_adapter(network, name, **options)
        order = record.in_order(list(settings))
        upstream, downstream, later = record.around(order[-1])
        with evaluation(network):
            if num_iterations > 1:
                check_samples(network, parts, record, output, args, kwargs)
            dynamic = {name: dynamic_names(options['dynamic']) for name, options in settings.items()}
            copied = copied_outputs(network, order, upstream, args, kwargs, dynamic if num_iterations > 1 else {})
        for name, options in settings.items():
            plain = network.get_submodule(name)
            put(network, plain, EmbeddedRecurrentBlock(plain, **own, **options))
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
    def _last(self) -> int:
        """Index of the last iterate, whose norm statistics what follows has; that of fast weights where those are
        held."""
        given = self.recurrent_block.given
        return self.num_iterations - 1 if given is None else given.index

    @property
    def _is_merged(self) -> bool:
        """Whether fast weights stand in the place of the layers' own, so that the network is a plain one."""
        given = self.recurrent_block.given
        return given is not None and given.merged_for is not None

    def become_plain(self) -> None:
        """Puts the parts of a sequence of submodules back into their places, once the block's wrapper is gone."""
        if self.span is not None:
            self.span.dissolve(self.wrapped)

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
        if self._is_merged:
            return self.wrapped(*args, **kwargs)
        if self.training and self._norms and self.norm_statistics == 'per_iterate':
            return self.forward_iterates(*args, **kwargs)[-1]  # all iterates' statistics are learned
        with self._pass(self._last):
            return self.wrapped(*args, **kwargs)

    def forward_iterates(self, *args, **kwargs) -> tuple:
        """The network's output for every iterate, first iterate first.

        What comes before the last recurrent block is computed once.

        Raises:
            RuntimeError: The network changes in place what it computed before the block, or what it is called with.
        """
        if self.num_iterations == 1 or self._is_merged:
            return (self.wrapped(*args, **kwargs),)
        if self.recurrent_block.given is not None:
            with self._pass(self._last):
                return (self.wrapped(*args, **kwargs),)
        outputs: List[Any] = []
        block, state = self.recurrent_block, CallState(args, kwargs)
        replay = Replay(self.wrapped, self.block_names[-1], self._upstream, self._copied)
        with block.held():
            for block.index in range(self.num_iterations):
                with self._pass(block.index), replay.later_pass() if outputs else replay.first_pass():
                    outputs.append(self.wrapped(*args, **kwargs))
                changed = state.changed()
                if changed is not None:
                    raise RuntimeError(
                        f'{type(self.wrapped).__name__} changes its argument {changed}, but each iterate needs it as '
                        'it was. Give it none that it writes into, such as a cache of keys and values'
                    )
                if replay.changed():
                    raise RuntimeError(
                        f'block: {type(self.wrapped).__name__} changes the output of {replay.changed()[0]!r} in '
                        f'place, but each iterate of {self.block_names[-1]!r} needs it as it was; '
                        f'{_way_out(self.wrapped)}'
                    )
        return tuple(outputs)

    @torch.no_grad()
    def early_exit(self, *args, threshold: float, **kwargs) -> Tuple[Tensor, Tensor]:
        """Samples whose iterate is confident leave the batch; what is left goes on to the next one.

        Args:
            args, kwargs: The network's input, tensors of one batch size.
            threshold: A sample leaves where the largest probability of its scores is at least this, from 0 (all leave
                after the first pass) to 1.

        Returns:
            Scores ``[N, classes]``, for each sample those of the iterate that it left with, as
            :meth:`forward_iterates` gives them; and how many passes it took, ``[N]``, from 1 to K.

        Raises:
            ValueError: A threshold outside 0 to 1; K of 1; training mode; a network that gives no scores, or whose
                later iterates cannot be computed for a part of a batch.
        """
        check_early_exit(self, threshold)
        return exited(self.exit_passes(*args, **kwargs), threshold)

    def exit_passes(self, *args, entries_per_sample: int = 1, **kwargs) -> NetworkPasses:
        """The network's iterates one by one, for fewer and fewer samples: what :meth:`early_exit` runs.

        Args:
            args, kwargs: The network's input.
            entries_per_sample: How many entries of the batch a sample has, such as the frames of a clip. Default 1.

        Raises:
            ValueError: Later iterates cannot be computed for a part of a batch.
        """
        return NetworkPasses(self, args, kwargs, entries_per_sample)

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

    def _network_name(self, name):
        return network_name(name, self.span)

    def _has_norms(self, name):
        return any(norm == name or norm.startswith(f'{name}.') for norm in self._norms)

    def no_weight_decay(self) -> Set[str]:
        """Names of the parameters that timm's optimizers leave without decay: those that the network names, and those
        of ``h``, which are no weights but make increments of weights."""
        patterns: Set[str] = getattr(self.wrapped, 'no_weight_decay', set)()
        blocks = [self.wrapped.get_submodule(name) for name in self.block_names]
        own = {id(p) for block in blocks if 'adapter' in block._modules for p in block.adapter.parameters()}
        return {
            name
            for name, parameter in self.named_parameters()
            if id(parameter) in own or any(fnmatch(self._network_name(name), pattern) for pattern in patterns)
        }

    def __getattr__(self, name):
        value = super().__getattr__(name)
        if name == 'group_matcher':
            return lambda *args, **kwargs: group_matcher_of(value(*args, **kwargs), self._network_name)
        if not name.startswith(('forward', 'extract_feat')) or not inspect.ismethod(value):
            return value

        @wraps(value)
        def method(*args, **kwargs):
            with self._pass(self._last):
                return value(*args, **kwargs)

        return method


def _way_out(network: nn.Module) -> str:
    """What keeps a network from changing outputs of its modules in place."""
    config = getattr(network, 'config', None)
    if network.training and getattr(config, 'apply_spec_augment', False):
        return (
            'in training, SpecAugment masks it, anew for each iterate: set apply_spec_augment=False in the '
            "network's config and mask the input, or take another block"
        )
    return 'set inplace=False there, where it has such a switch, or take another block'


def _checkpointed(module, forward, *args, **kwargs):

    def run(*args, **kwargs):
        with checkpointing_off(module.modules()):
            return forward(*args, **kwargs)

    return checkpointed(run, module, *args, **kwargs)
