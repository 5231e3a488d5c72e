"""A pass with the fast weights of one sample, in evaluation and without gradients: a plain pass.

``W_1 + dW`` stands in the place of each dynamic layer's weight, and the statistics of the iterate in that of each
norm's own, for the duration of the pass. What is added up and looked up is kept as long as the network is as it was:
the same modules and tensors, with the version counters that they had. What is written into a weight past its counter,
as by ``weight.data.copy_(...)``, is not seen.
"""

from typing import Any, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.layers.increments import is_exporting, version
from kaizen_mm.layers.iterate_statistics import restore_iterate_statistics


def can_merge(network: nn.Module) -> bool:
    """Whether a pass may be a plain one: nothing trains, and no graph is made of it."""
    return not (
        network.training
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or is_exporting()
    )


class MergedPass:
    """What passes of one network with the weights of one sample share.

    Args:
        network: The network.
        blocks: Its recurrent blocks.
        weights: The fast weights, of one sample or of equal ones.
        given: What the blocks have for ``given`` in a pass.
    """

    def __init__(self, network: nn.Module, blocks: Sequence[Any], weights: Any, given: Any):
        for module in list(network.modules()):
            restore_iterate_statistics(module)
        modules, self.network, self.blocks = list(network.modules()), network, list(blocks)
        unused = {module for block in blocks for module in block.adapter.modules()}
        children = [(m._modules, list(m._modules.values())) for m in modules if m not in unused]
        self._containers = [(own, kept) for own, kept in children if kept]
        self._leaves = [own for own, kept in children if not kept]
        self._layers: List[Tuple[Any, Any]] = [
            (block.wrapped.get_submodule(name), increment)
            for block, own in zip(blocks, weights.blocks)
            for name, increment in own.items()
        ]
        once = {norm for block in blocks for norm in block.norms_run_once()}
        self._norms: List[Any] = [m for m in modules if 'iterates' in m._modules and m not in once]
        self._iterate, self._device, self._dtype = weights.iterate, weights.device, weights.dtype
        self._counted = [module for module in modules if hasattr(type(module), 'first_iterate')]
        self._given = given
        given.held = self
        self._before: Sequence[tuple] = ()
        self._look_up()

    def _look_up(self) -> None:
        """What is put where in a pass, and what must be there so that it still holds."""
        self._weights: List[tuple] = []  # where a weight is, the weight, how often it was changed, its values
        self._expected: List[tuple] = []  # where another tensor is, its name, the tensor
        self._changes: List[tuple] = []  # where something is put, its name, what
        for layer, increment in self._layers:
            weight = layer._parameters['weight']
            kept = weight.detach()  # so that no other values come to stand where these do
            self._weights.append((layer._parameters, weight, version(weight), kept))
            merged = torch.empty_like(weight).copy_(weight + increment.dense()[0].reshape(weight.shape))
            self._changes.append((layer._parameters, 'weight', merged))
        for norm in self._norms if self._iterate > 0 else ():
            rows = norm._modules['iterates']
            for name in ('running_mean', 'running_var'):
                of_all: Tensor = rows._buffers[name]
                self._expected += [(rows._buffers, name, of_all), (norm._buffers, name, norm._buffers[name])]
                self._changes.append((norm._buffers, name, of_all[min(self._iterate, rows.rows) - 1]))
        self._changes += [(block.__dict__, 'given', self._given) for block in self.blocks]
        self._changes += [(module.__dict__, 'first_iterate', self._iterate) for module in self._counted]
        # of attributes that stand in their class alone
        for entries, name in [(b.__dict__, 'given') for b in self.blocks]:
            entries.setdefault(name, None)
        for module in self._counted:
            module.__dict__.setdefault('first_iterate', module.first_iterate)

    def is_of(self, network: nn.Module, weights: Any) -> bool:
        """Whether it is of this network, of which no module has been exchanged and nothing loaded since, and which has
        not been moved."""
        if network is not self.network or any(self._leaves):
            return False
        for own, kept in self._containers:
            if [*own.values()] != kept:
                return False
        first = self._weights[0][0]['weight']
        return (
            len(weights.tokens) == len(self.blocks)
            and all(b.token is token and b.num_iterations > 1 for b, token in zip(self.blocks, weights.tokens))
            and first.dtype == self._dtype
            and first.device == self._device
        )

    def enter(self) -> None:
        """The passes until :meth:`leave` are with the weights."""
        if not self._holds():
            self._look_up()
        self._before = [(entries, name, entries[name]) for entries, name, _ in self._changes]
        for entries, name, value in self._changes:
            entries[name] = value

    def leave(self) -> None:
        """All is as it was."""
        for entries, name, value in self._before:
            entries[name] = value

    def _holds(self) -> bool:
        for entries, weight, count, kept in self._weights:
            if entries['weight'] is not weight or count is None or weight._version != count:
                return False
            if weight.data_ptr() != kept.data_ptr():
                return False
        for entries, name, tensor in self._expected:  # noqa: SIM110  a generator takes twice the time
            if entries.get(name) is not tensor:
                return False
        return True
