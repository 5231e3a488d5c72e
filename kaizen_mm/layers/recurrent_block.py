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
import inspect
from contextlib import contextmanager, nullcontext
from typing import Callable, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_flag, check_int, check_text
from kaizen_mm.layers.checkpointing import checkpointed, checkpointing_off, checkpoints
from kaizen_mm.layers.dynamic_conv import dynamic_kind, make_dynamic
from kaizen_mm.layers.iterate_statistics import add_iterate_statistics, iterate_statistics
from kaizen_mm.layers.transparent import TransparentWrapper, forward_replaced
from kaizen_mm.layers.weight_adapter import WeightAdapter

NORM_STATISTICS = ('per_iterate', 'shared')
MAX_ITERATIONS = 1000  # each has memory and norm statistics of its own: more must be a slip
_TRANSFORMER_LAYERS = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder,
                       nn.TransformerDecoder)


class AdaptiveRecurrentBlock(TransparentWrapper):
    """Runs a block K times and rewrites some of its weights, per sample, in between.

    The state dict has the names of the wrapped block; only the adapter's (``adapter.*``)
    and the later iterates' norm statistics (``<norm>.iterates.*``) are added, and the latter
    are filled from a plain checkpoint.

    A block may split its forward into ``prepare(u)``, what comes before the first dynamic
    layer, and ``forward_prepared(*prepared)``, the rest; ``prepare`` then runs once for all
    iterates. Either way, a dynamic layer that sees the very same tensor in each iterate
    computes what does not depend on the increment once.

    Args:
        block: The block; changed in place.
        dynamic: Names of the submodules of ``block`` that make up ``f``: convolutions (1d, 2d,
            3d) or linear layers. Each must be called once in the block's forward. A layer may get several
            entries of its batch per sample, one sample's after the other's (windows, frames).
        feedback_shape: Shape ``(C, *spatial)`` of one sample's ``z``, the input of ``h``.
        feedback: Name of the submodule of ``block`` whose output is ``z``; ``''`` (default)
            is the block's own output, or the first of its outputs where it has several.
        num_iterations: ``K``, at least 1. With 1 the block is the plain block: nothing is
            frozen or added.
        norm_statistics: ``'per_iterate'`` (default): batch norms of the block keep running
            statistics for each iterate, affine parameters being shared; ``'shared'``:
            one set for all, as in the authors' released code.
        freeze_dynamic: Whether ``W_1`` keeps the values that it has, as in the paper's second phase (default); False lets
            it train along, or from the start.
        adapter: Further arguments of :class:`~kaizen_mm.layers.WeightAdapter`: ``alpha``,
            ``pool_kernel``, ...

    Where modules of the block checkpoint gradients (``with_cp`` in OpenMMLab, ``grad_checkpointing`` in
    timm), each iteration is checkpointed as a whole instead.

    Whether the first dimension of the input holds samples cannot be seen from a block alone, but for PyTorch's
    transformers, whose ``batch_first=False`` is refused; :class:`~kaizen_mm.models.RecurrentNetwork` tries it.

    Shape:
        Input ``[N, ...]`` and whatever else the block takes; output a tuple of ``num_iterations`` block
        outputs, the last one best.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
        TypeError: A dynamic layer that is no convolution or linear layer, or an unknown argument.
    """

    def __init__(self,
                 block: nn.Module,
                 dynamic: Sequence[str],
                 feedback_shape: Sequence[int],
                 feedback: str = '',
                 num_iterations: int = 2,
                 norm_statistics: str = 'per_iterate',
                 freeze_dynamic: bool = True,
                 **adapter):
        super().__init__(block)
        check_num_iterations(num_iterations)
        check_norm_statistics(norm_statistics)
        _check_batch_first(block)
        names = dynamic_names(dynamic)
        check_text('feedback', feedback, "the name of a submodule, '' for the block itself")
        known = dict(block.named_modules())
        for argument, name in [('dynamic', n) for n in names] + [('feedback', feedback)]:
            if name not in known:
                raise ValueError(f'{argument}: {type(block).__name__} has no submodule {name!r}; {nearest(name, known)}')
        self.dynamic, self.feedback = tuple(names), feedback
        self.norm_statistics = norm_statistics
        self._num_iterations = num_iterations
        self._last_change: Optional[Tensor] = None  # ||W_i - W_1||, [K - 1, L, N]
        check_flag('freeze_dynamic', freeze_dynamic)
        inspect.signature(WeightAdapter).bind_partial(**adapter)  # a misspelt argument is an error for K = 1 too
        if num_iterations > 1:
            # nothing of the block is changed before all arguments are known to be good
            for name in names:
                dynamic_kind(known[name], f'dynamic layer {name!r}')
            self.add_own_module('adapter', WeightAdapter(
                feedback_shape, {name: known[name].weight.shape for name in names}, **adapter).to(known[names[0]].weight))
            self._adapter_at_start = [p.detach().clone() for p in self.adapter.parameters()]
            for name in names:
                layer = make_dynamic(known[name], name)
                if freeze_dynamic:
                    layer.weight.requires_grad_(False)
            for module in block.modules():
                if isinstance(module, nn.TransformerEncoderLayer):
                    module.register_forward_pre_hook(_keep_from_fused_kernel)
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
            raise ValueError(f'num_iterations cannot become {value}: the block was built with '
                             'num_iterations=1 and has no adapter; build it with at least 2')
        self._extend_statistics(value)
        self._num_iterations = value

    def _extend_statistics(self, num_iterations):
        if self.norm_statistics == 'per_iterate':
            add_iterate_statistics(self.wrapped, num_iterations)

    def forward(self, u: Tensor, *args, **kwargs) -> tuple:
        block = self.wrapped
        if self.num_iterations == 1:
            self._last_change = None
            return (block(u, *args, **kwargs), )
        if hasattr(block, 'prepare') and hasattr(block, 'forward_prepared'):
            run, inputs, kwargs = block.forward_prepared, block.prepare(u, *args, **kwargs), {}
        else:
            run, inputs = block, (u, *args)
        version = None if u.is_inference() else u._version
        increments, outputs, changes = self.adapter.initial(), [], []
        in_checkpoints = torch.is_grad_enabled() and checkpoints(block.modules())
        for i in range(self.num_iterations):
            if in_checkpoints:
                y, z = checkpointed(self._iterate_afresh, block, i, increments, run, inputs, kwargs)
            else:
                y, z = self._iterate(i, increments, run, inputs, kwargs)
            if not u.is_inference() and u._version != version:
                raise RuntimeError(f'{type(block).__name__} changes its input in place, but each iteration needs it '
                                   'as it was; set inplace=False where the block begins')
            outputs.append(y)
            if i + 1 < self.num_iterations:
                try:
                    increments = self.adapter.update(increments, z)
                except ValueError as error:
                    raise ValueError(f'feedback {self.feedback!r} of {type(block).__name__}: {error}') from error
                with torch.no_grad():
                    changes.append(torch.stack([increment.norm() for increment in increments]))
        self._last_change = torch.stack(changes)
        return tuple(outputs)

    def _iterate(self, index, increments, run, inputs, kwargs):
        """One iterate's output, and what ``h`` reads of it."""
        with self._pass(index, increments) as feedback:
            y = run(*inputs, **kwargs)
        if index + 1 == self.num_iterations:
            return y, None
        return y, feedback.value if self.feedback else block_output(y).clone()  # what follows may work in place

    def _iterate_afresh(self, index, increments, *args):
        """The same, with nothing that another computation of it has left to reuse."""
        return self._iterate(index, [increment.fresh() for increment in increments], *args)

    @contextmanager
    def _pass(self, index, increments):
        """One pass: the increments and the norm statistics of an iterate are in place."""
        layers = {name: self.wrapped.get_submodule(name) for name in self.dynamic}
        source = self.wrapped.get_submodule(self.feedback)
        feedback = _Feedback(self.feedback, source.forward)
        read = self.feedback and index + 1 < self.num_iterations  # '' is the output, which is at hand
        for layer, increment in zip(layers.values(), increments):
            layer.increment, layer.calls = increment, 0
        try:
            with iterate_statistics(self.wrapped, index), checkpointing_off(self.wrapped.modules()), \
                    (forward_replaced(source, feedback) if read else nullcontext()):
                yield feedback
            for name, layer in layers.items():
                if layer.calls != 1:
                    raise RuntimeError(f'dynamic: the block must call {name!r} once per pass, it did so '
                                       f'{layer.calls} times; take a layer that it calls once')
        finally:
            for layer in layers.values():
                layer.increment = None

    @torch.no_grad()
    def weight_change(self) -> Tensor:
        """``||W_i - W_1|| / ||W_1||`` (Frobenius) in the last forward pass.

        Returns:
            Shape ``[K - 1, L, N]``: iterates 2..K, dynamic layers, samples.

        Raises:
            RuntimeError: No forward pass with two or more iterations has been made.
        """
        if self._last_change is None:
            raise RuntimeError('weight_change() needs a forward pass with num_iterations >= 2 first')
        norms = torch.stack([self.wrapped.get_submodule(name).weight.float().norm() for name in self.dynamic])
        return self._last_change / norms[:, None]

    def adapter_is_fresh(self) -> bool:
        """Whether ``h`` still has the weights that it was made with: neither trained nor loaded."""
        return self.num_iterations > 1 and all(
            torch.equal(now.detach().cpu(), start.to(now.dtype).cpu())
            for now, start in zip(self.adapter.parameters(), self._adapter_at_start))

    def extra_repr(self) -> str:
        return (f'dynamic={self.dynamic}, feedback={self.feedback!r}, num_iterations='
                f'{self.num_iterations}, norm_statistics={self.norm_statistics!r}')


def _keep_from_fused_kernel(module, inputs):
    """Does nothing, but a ``TransformerEncoderLayer`` with a hook calls its layers in evaluation too."""


class _Feedback:
    """In the place of the forward of the module that ``h`` reads: keeps its output."""

    def __init__(self, name: str, forward: Callable):
        self.name, self._forward, self._outputs = name, forward, []

    def __call__(self, *args, **kwargs):
        output = self._forward(*args, **kwargs)
        self._outputs.append(block_output(output).clone())  # what follows may work in place
        return output

    @property
    def value(self) -> Tensor:
        if len(self._outputs) != 1:
            raise RuntimeError(f'feedback: the block must call {self.name!r} once per pass, '
                               f'it did so {len(self._outputs)} times')
        return self._outputs[0]


def block_output(output) -> Tensor:
    """The output of a module, or the first of its outputs where it has several.

    Raises:
        TypeError: That is no tensor.
    """
    first = output
    while isinstance(first, (tuple, list, Mapping)) and len(first):
        first = next(iter(first.values() if isinstance(first, Mapping) else first))
    if not isinstance(first, Tensor):
        raise TypeError(f'feedback must be read from a module whose (first) output is a tensor, got {type(first).__name__}')
    return first


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
                raise ValueError(f'block: {type(block).__name__} has batch_first=False, so that tokens, not samples, are in the '
                                 'first dimension and samples would mix; build it with batch_first=True')


def dynamic_names(dynamic: Union[str, Sequence[str]], block: str = 'the block') -> List[str]:
    """The names of the dynamic layers; raises ValueError unless there is one or more and none twice."""
    names = [dynamic] if isinstance(dynamic, str) else dynamic
    if not isinstance(names, (tuple, list)) or not names or not all(isinstance(name, str) for name in names) \
            or len(set(names)) < len(names):
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
