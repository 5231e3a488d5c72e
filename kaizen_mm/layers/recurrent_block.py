"""The adaptive recurrent block.

Battash & Wolf, "Adaptive and Iteratively Improving Recurrent Lateral Connections",
arXiv:1910.11105, section 3. A block of a feed-forward network is split into a dynamic part
``f`` (some of its convolutions or linear layers) and a static part ``g`` (the rest). With
``u`` the block's input, which never changes,

    z_i     = g(f(u, W_i))            eq. 1
    W_{i+1} = W_i + alpha * h(z_i)    eq. 2, per sample,

for iterates ``i = 1..K``. ``W_1`` is what the plain network was trained to; by default it is frozen.
"""

import difflib
from typing import Any, List, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_flag, check_int, check_text
from kaizen_mm.layers.adapters import build_adapter, check_adapter_arguments
from kaizen_mm.layers.dynamic_conv import dynamic_kind, make_dynamic
from kaizen_mm.layers.fast_weight_methods import FastWeightMethods
from kaizen_mm.layers.foreign_call import ForeignCall
from kaizen_mm.layers.increments import is_exporting
from kaizen_mm.layers.iterate_statistics import add_iterate_statistics
from kaizen_mm.layers.specialization import keep_from_fused_kernel
from kaizen_mm.layers.training_trial import training_fault
from kaizen_mm.layers.transparent import TransparentWrapper
from kaizen_mm.layers.writing_block import WritingBlock

NORM_STATISTICS = ('per_iterate', 'shared')
MAX_ITERATIONS = 1000  # each has memory and norm statistics of its own: more must be a slip
_TRANSFORMER_LAYERS = (
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
)


class AdaptiveRecurrentBlock(FastWeightMethods, WritingBlock, TransparentWrapper):
    """Runs a block K times and rewrites some of its weights, per sample, in between.

    The state dict has the names of the wrapped block; only the adapter's (``adapter.*``)
    and the later iterates' norm statistics (``<norm>.iterates.*``) are added, and the latter
    are filled from a plain checkpoint.

    A block may split its forward into ``prepare(u)``, what comes before the first dynamic
    layer, and ``forward_prepared(*prepared)``, the rest; ``prepare`` then runs once for all
    iterates, and an attribute ``prepared_norms`` has the names of the batch norms in it. Either way, a
    dynamic layer that sees the very same tensor in each iterate computes what does not depend on the increment once.

    Args:
        block: The block; changed in place.
        dynamic: Names of the submodules of ``block`` that make up ``f``: convolutions (1d, 2d, 3d) or linear layers.
            Each must be called once in the block's forward. A layer may get several entries of its batch per sample,
            one sample's after the other's (windows, frames).
        feedback_shape: Shape ``(C, *spatial)`` of one sample's ``z``, the input of ``h``.
        feedback: Name of the submodule of ``block`` whose output is ``z``; ``''`` (default)
            is the block's own output, or the first of its outputs where it has several.
        num_iterations: ``K``, at least 1. With 1 the block is the plain block: nothing is
            frozen or added.
        norm_statistics: ``'per_iterate'`` (default): batch norms of the block keep running
            statistics for each iterate, affine parameters being shared; ``'shared'``:
            one set for all, as in the authors' released code.
        freeze_dynamic: Whether ``W_1`` keeps the values that it has, as in the paper's second phase (default); False
            lets it train along, or from the start.
        adapter: Further arguments of :func:`~kaizen_mm.layers.build_adapter`: ``alpha``,
            ``pool_kernel``, ...

    Where modules of the block checkpoint gradients (``with_cp`` in OpenMMLab, ``grad_checkpointing`` in
    timm), each iteration is checkpointed as a whole instead.

    Whether the first dimension of the input holds samples cannot be seen from a block alone, but for PyTorch's
    transformers, whose ``batch_first=False`` is refused; :class:`~kaizen_mm.models.RecurrentNetwork` tries it. A block
    must give the same when it runs again, and let gradients through to its dynamic layers. The first forward pass in
    training mode tries it, and so takes four more passes of the block. A RuntimeError says what does not hold. Hooks of
    the block's modules see these passes, since a hook may be a part of what a block computes (weight norm). Compiled,
    traced or exported code tries nothing, and :class:`~kaizen_mm.models.RecurrentNetwork` tries when it is built.

    Shape:
        Input ``[N, ...]`` and whatever else the block takes; output a tuple of ``num_iterations`` block
        outputs, the last one best.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
        TypeError: A dynamic layer that is no convolution or linear layer, or an unknown argument.
    """

    _tried = False  # whether it is known how the block behaves in training

    # of no use to TorchScript
    __jit_unused_properties__ = ['num_iterations']
    __jit_ignored_attributes__ = ['_increments_seen', '_adapter_at_start', 'frozen', 'token']

    def __init__(
        self,
        block: nn.Module,
        dynamic: Sequence[str],
        feedback_shape: Sequence[int],
        feedback: str = '',
        num_iterations: int = 2,
        norm_statistics: str = 'per_iterate',
        freeze_dynamic: bool = True,
        **adapter,
    ):
        super().__init__(block)
        check_num_iterations(num_iterations)
        check_norm_statistics(norm_statistics)
        _check_batch_first(block)
        names = dynamic_names(dynamic)
        check_text('feedback', feedback, "the name of a submodule, '' for the block itself")
        known = dict(block.named_modules())
        for argument, name in [('dynamic', n) for n in names] + [('feedback', feedback)]:
            if name not in known:
                raise ValueError(
                    f'{argument}: {type(block).__name__} has no submodule {name!r}; {nearest(name, known)}'
                )
        self.dynamic, self.feedback = tuple(names), feedback
        self.norm_statistics = norm_statistics
        self._num_iterations = num_iterations
        self._increments_seen: List[list] = []  # in the last forward pass, of iterates 2..K
        self.frozen: List[str] = []
        self.token = object()
        check_flag('freeze_dynamic', freeze_dynamic)
        check_adapter_arguments(adapter)  # a misspelt one is an error for K = 1 too
        if num_iterations > 1:
            # nothing of the block is changed before all arguments are known to be good
            for name in names:
                dynamic_kind(known[name], f'dynamic layer {name!r}')
            self.add_own_module(
                'adapter',
                build_adapter(feedback_shape, {name: known[name].weight.shape for name in names}, **adapter).to(
                    known[names[0]].weight
                ),
            )
            self._adapter_at_start = [p.detach().clone() for p in self.adapter.parameters()]
            for name in names:
                layer = make_dynamic(known[name], name)
                if freeze_dynamic and layer.weight.requires_grad:
                    self.frozen.append(name)
                    layer.weight.requires_grad_(False)
            for module in block.modules():
                if isinstance(module, nn.TransformerEncoderLayer):
                    module.register_forward_pre_hook(keep_from_fused_kernel)
            self._extend_statistics(num_iterations)

    @property
    def num_iterations(self) -> int:
        """``K``. May be set after construction to fewer or more than the block was built for;
        iterations beyond use the last iterate's norm statistics."""
        return self._num_iterations

    @num_iterations.setter
    def num_iterations(self, value: int):
        check_num_iterations(value)
        if value > 1 and 'adapter' not in self._modules:
            raise ValueError(
                f'num_iterations cannot become {value}: the block was built with '
                'num_iterations=1 and has no adapter; build it with at least 2'
            )
        self._extend_statistics(value)
        self._num_iterations = value

    def _extend_statistics(self, num_iterations):
        if self.norm_statistics == 'per_iterate':
            add_iterate_statistics(self.wrapped, num_iterations)

    def forward(self, u: Tensor, *args, **kwargs) -> tuple:
        if self.given is not None:
            return (self._given_pass(u, *args, **kwargs),)
        if self.num_iterations == 1:
            self._increments_seen = []
            return (self.wrapped(u, *args, **kwargs),)
        call: Any = ForeignCall(self.wrapped, self.dynamic, self.feedback, u, args, kwargs)
        outputs = tuple(self._iterates(call))
        if self.training and not self._tried and not (torch.compiler.is_compiling() or torch.jit.is_tracing()):
            fault = training_fault(self.wrapped, self.dynamic, u, args, kwargs)
            if fault:
                raise RuntimeError(f'block: {type(self.wrapped).__name__} {fault}')
            self._tried = True
        return outputs

    def _given_pass(self, u: Tensor, *args, **kwargs):
        """One iterate with the increments that are given."""
        given: Any = self.given
        samples = given.samples
        if samples is not None and samples != len(u):
            raise ValueError(
                f'fast_weights: they are for {samples} samples, but the block gets {len(u)}; index them, or take '
                f'those of one sample and expand({len(u)})'
            )
        if given.merged_for is not None:
            return self.wrapped(u, *args, **kwargs)
        call = ForeignCall(self.wrapped, self.dynamic, self.feedback, u, args, kwargs)
        y, given.z = call.iterate(given.index, given.increments, read=given.read)
        return y

    def _iterates(self, prepared: List[Tensor]):
        """The recurrence. This is TorchScript as well where the block is no foreign one: the annotations are for that.

        Args:
            prepared: What :meth:`_iterate` takes, the same for all iterates.
        """
        if not torch.jit.is_scripting():
            self._increments_seen = []
        outputs: List[Tensor] = []
        increments = self._initial()
        for i in range(self._num_iterations):
            more = i + 1 < self._num_iterations
            y, z = self._iterate(i, increments, more, prepared)  # eq. 1
            outputs.append(y)
            if more:
                increments = self._next(increments, z)  # eq. 2
                if not torch.jit.is_scripting():
                    self._remember(self._as_increments(increments), not i + 2 < self._num_iterations)
        return outputs

    def _initial(self):
        """The increments of the first iterate."""
        return self.adapter.initial(self._num_iterations)

    def _iterate(self, index, increments, more, call):
        """One iterate's output and, if there are more to come, ``z``."""
        return call.iterate(index, increments, read=more)

    def _next(self, increments, z):
        """The increments of the next iterate."""
        try:
            return self.adapter.update(increments, z)
        except ValueError as error:
            raise ValueError(f'feedback {self.feedback!r} of {type(self.wrapped).__name__}: {error}') from error

    def _as_increments(self, increments):
        """One for each dynamic layer, from what :meth:`_next` gives."""
        return increments

    def _remember(self, increments, last):
        """Keeps what :meth:`weight_change` needs; not while a graph for export is made, which can keep nothing."""
        if self.writes and last:
            self.written = [*self.written, increments]
        if not is_exporting():
            self._increments_seen.append([increment.snapshot() for increment in increments])

    @torch.no_grad()
    def weight_change(self) -> Tensor:
        """``||W_i - W_1|| / ||W_1||`` (Frobenius) in the last forward pass.

        Returns:
            Shape ``[K - 1, L, N]``: iterates 2..K, dynamic layers, samples.

        Raises:
            RuntimeError: No forward pass with two or more iterations has been made.
        """
        if not self._increments_seen:
            raise RuntimeError('weight_change() needs a forward pass with num_iterations >= 2 first')
        layers: List[Any] = [self.wrapped.get_submodule(name) for name in self.dynamic]
        norms = torch.stack([layer.weight.float().norm() for layer in layers])
        changes = [torch.stack([increment.norm() for increment in iterate]) for iterate in self._increments_seen]
        return torch.stack(changes) / norms[:, None]

    def adapter_is_fresh(self) -> bool:
        """Whether ``h`` still has the weights that it was made with: neither trained nor loaded."""
        return self.num_iterations > 1 and all(
            torch.equal(now.detach().cpu(), start.to(now.dtype).cpu())
            for now, start in zip(self.adapter.parameters(), self._adapter_at_start)
        )

    def extra_repr(self) -> str:
        return (
            f'dynamic={self.dynamic}, feedback={self.feedback!r}, num_iterations='
            f'{self.num_iterations}, norm_statistics={self.norm_statistics!r}'
        )


def nearest(name: str, known) -> str:
    """For errors: the names that are near to one that does not exist."""
    near = difflib.get_close_matches(name, [k for k in known if k], n=5, cutoff=0.5)
    return f'did you mean {", ".join(near)}?' if near else f'it has {", ".join(sorted(k for k in known if k)[:30])}'


def _check_batch_first(block: nn.Module) -> None:
    """Raises ValueError where a block is known to attend over its input's first dimension, that of the samples."""
    for kind in _TRANSFORMER_LAYERS:
        if isinstance(block, kind) and type(block).forward is kind.forward:
            attention = next((m for m in block.modules() if isinstance(m, nn.MultiheadAttention)), None)
            if attention is not None and not attention.batch_first:
                raise ValueError(
                    f'block: {type(block).__name__} has batch_first=False, so that tokens, not samples, are in the '
                    'first dimension and samples would mix; build it with batch_first=True'
                )


def dynamic_names(dynamic: Union[str, Sequence[str]], block: str = 'the block') -> List[str]:
    """The names of the dynamic layers; raises ValueError unless there is one or more and none twice."""
    names = [dynamic] if isinstance(dynamic, str) else dynamic
    if (
        not isinstance(names, (tuple, list))
        or not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
    ):
        raise ValueError(f'dynamic must name at least one layer of {block} and none twice, got {dynamic!r}')
    return list(names)


def check_num_iterations(value: int) -> None:
    """Raises ValueError unless ``value`` is an int from 1 to :data:`MAX_ITERATIONS`."""
    check_int('num_iterations', value, 1, MAX_ITERATIONS)


def check_norm_statistics(value: str) -> None:
    """Raises ValueError unless ``value`` is a way to keep norm statistics."""
    check_choice('norm_statistics', value, NORM_STATISTICS)


def recurrent_blocks(module: nn.Module) -> List[Tuple[str, AdaptiveRecurrentBlock]]:
    """The adaptive recurrent blocks in ``module``, with their names."""
    return [(n, m) for n, m in module.named_modules() if isinstance(m, AdaptiveRecurrentBlock)]
