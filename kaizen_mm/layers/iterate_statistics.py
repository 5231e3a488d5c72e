"""Running statistics of batch norm, one set per iterate.

A batch norm that sees something different in each iteration needs running statistics of its
own for each iteration; with shared ones, evaluation gets worse from the second iterate on.
The affine parameters stay shared.

The statistics of iterate 1 are the norm's own ``running_mean``, ``running_var`` and ``num_batches_tracked``. Those of
later iterates stand in a child module of the norm, ``iterates``, and a checkpoint that lacks them (one of the plain
network) fills them with the statistics of the plain network. The child is a batch norm of the norm's kind that nothing
calls. Some tools go through the batch norms of a network to reset, measure or average their statistics
(``torch.optim.swa_utils.update_bn``, precise batch norm). So they reach those of all iterates. Where a norm or its
child is exchanged for another one, as by timm's ``freeze_batch_norm_2d`` or the conversion to SyncBN, they are put
back.

Code that knows of the iterates calls its norms with an index (:func:`make_norms_indexed`). For code
that does not, the statistics of an iterate are put in place of the norm's own for the duration of
one pass (:func:`iterate_statistics`).
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterable, Iterator, List, Optional, Sequence

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.layers.exchanged_class import exchange_class

_CHILD = 'iterates'
_KEPT = '_kept_iterate_statistics'  # attribute of the module that they were added to: by name of the norm
_NAMES = ('running_mean', 'running_var', 'num_batches_tracked')

if TYPE_CHECKING:
    _Norm = _BatchNorm
else:
    _Norm = object  # a mixin


class IterateStatistics(_BatchNorm):
    """Statistics of iterates 2, 3, ...: buffers of shape ``[iterates - 1, C]``.

    Args:
        norm: The batch norm whose present statistics each iterate starts from.
        num_iterations: ``K``, at least 2.
    """

    def __init__(self, norm: _BatchNorm, num_iterations: int):
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=False)
        # nothing, but a tensor, for code that freezes or fills those of every batch norm
        for name in ('weight', 'bias'):
            del self._parameters[name]
            setattr(self, name, torch.empty(0))
        self.rows = num_iterations - 1  # as an int: while a graph is traced, the sizes of tensors are none
        for name in _NAMES:
            row = getattr(norm, name)
            self.register_buffer(name, torch.stack([row] * self.rows))
        self.training = norm.training

    @torch.jit.unused
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError('these are statistics of later iterates: call the batch norm that they belong to')

    def __len__(self) -> int:
        return self.rows

    def resize(self, rows: int) -> None:
        """Makes room for ``rows`` iterates beyond the first, copies of the last one so far."""
        for name in _NAMES:
            setattr(self, name, _extend(getattr(self, name), rows))
        self.rows = max(self.rows, rows)

    def take(self, other: nn.Module) -> None:
        """Takes over the statistics of what others have put in the place of this module, such as a SyncBN."""
        for name in _NAMES:
            setattr(self, name, getattr(other, name))
        self.training = other.training

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """A checkpoint of fewer iterates is extended, one of more makes this one larger."""
        for name in _NAMES:
            loaded = state_dict.get(prefix + name)
            if loaded is not None and len(loaded) > len(self):
                self.resize(len(loaded))
        for name in _NAMES:
            loaded = state_dict.get(prefix + name)
            if loaded is not None:
                state_dict[prefix + name] = _extend(loaded, len(self))
        super()._load_from_state_dict(state_dict, prefix, *args)


class IterateStatistics1d(IterateStatistics, nn.BatchNorm1d):
    """Those of a :class:`torch.nn.BatchNorm1d`."""


class IterateStatistics2d(IterateStatistics, nn.BatchNorm2d):
    """Those of a :class:`torch.nn.BatchNorm2d`."""


class IterateStatistics3d(IterateStatistics, nn.BatchNorm3d):
    """Those of a :class:`torch.nn.BatchNorm3d`."""


def _statistics_of(norm: _BatchNorm, num_iterations: int) -> IterateStatistics:
    for kind in (IterateStatistics1d, IterateStatistics2d, IterateStatistics3d):
        if isinstance(norm, kind.__bases__[1]):
            return kind(norm, num_iterations)
    return IterateStatistics(norm, num_iterations)


def _extend(rows: Tensor, length: int) -> Tensor:
    missing = length - len(rows)
    return rows if missing <= 0 else torch.cat([rows, torch.stack([rows[-1]] * missing)])


def _tracked_norms(module: nn.Module):
    statistics = set()  # of later iterates, which are no norms of the network
    for name, norm in list(module.named_modules()):  # whoever asks may add some
        if norm in statistics:
            continue
        if (isinstance(norm, _BatchNorm) and norm.track_running_stats) or _CHILD in norm._modules:
            statistics.add(norm._modules.get(_CHILD))
            yield name, norm


def has_running_statistics(module: nn.Module) -> bool:
    """Whether a batch norm in ``module`` keeps running statistics."""
    return next(_tracked_norms(module), None) is not None


def restore_iterate_statistics(module: nn.Module, *_, **__) -> None:
    """Puts statistics back under norms that have been exchanged since :func:`add_iterate_statistics` was called on
    ``module``.

    Raises:
        RuntimeError: What stands in the place of a norm has no running statistics, as after folding it into a
            convolution.
    """
    for name, rows in module.__dict__.get(_KEPT, {}).items():
        try:
            norm = module.get_submodule(name)
        except AttributeError:  # pruned along with what it was part of
            continue
        child = norm._modules.get(_CHILD)
        if child is rows:
            continue
        if child is not None:
            rows.take(child)
        elif getattr(norm, 'running_mean', None) is None:
            raise RuntimeError(
                f'the batch norm {name!r} has running statistics for each iterate, but it has become a '
                f'{type(norm).__name__} without any: they would be lost. Leave it in place, or build the network with '
                "norm_statistics='shared'"
            )
        norm.add_module(_CHILD, rows.to(norm.running_mean))


def add_iterate_statistics(module: nn.Module, num_iterations: int, names: Optional[Sequence[str]] = None) -> None:
    """Gives each batch norm in ``module``, or those that are named, statistics for ``num_iterations`` iterates.

    Norms that have them already are extended where needed; with fewer than two iterates
    nothing is added. Loading a state dict without these statistics into ``module`` fills them
    with the norm's own.
    """
    if num_iterations < 2:
        return
    restore_iterate_statistics(module)
    kept = module.__dict__.setdefault(_KEPT, {})
    for name, norm in _tracked_norms(module):
        if names is not None and name not in names:
            continue
        if hasattr(norm, _CHILD):
            getattr(norm, _CHILD).resize(num_iterations - 1)
        else:
            norm.add_module(_CHILD, _statistics_of(norm, num_iterations))
        kept[name] = getattr(norm, _CHILD)
    if _fill_from_plain not in [getattr(h, 'hook', h) for h in module._load_state_dict_pre_hooks.values()]:
        module.register_load_state_dict_pre_hook(_fill_from_plain)
        module.register_state_dict_pre_hook(restore_iterate_statistics)


def _fill_from_plain(module, state_dict, prefix, *args):
    restore_iterate_statistics(module)
    for name, norm in _tracked_norms(module):
        if not hasattr(norm, _CHILD):
            continue
        path = prefix + (f'{name}.' if name else '')
        if f'{path}running_mean' not in state_dict:
            continue
        for stat in _NAMES:
            if f'{path}{_CHILD}.{stat}' not in state_dict:
                # checkpoints of early torch releases have no count of batches
                own = state_dict.get(path + stat, torch.zeros((), dtype=torch.long))
                state_dict[f'{path}{_CHILD}.{stat}'] = torch.stack([own] * len(norm._modules[_CHILD].running_mean))


def remove_iterate_statistics(module: nn.Module, index: int, first: Sequence[nn.Module] = ()) -> None:
    """Undoes :func:`add_iterate_statistics` for all modules within ``module``: each norm keeps the statistics of one
    iterate, ``index`` from 0, or where it has fewer of the last one; those in ``first`` of the first one."""
    for part in list(module.modules()):
        restore_iterate_statistics(part)
    for norm in [norm for _, norm in _tracked_norms(module) if _CHILD in norm._modules]:
        rows: Any = norm._modules.pop(_CHILD)
        for name in _NAMES:
            if index > 0 and norm not in first and name in norm._buffers:
                own = rows._buffers[name]
                norm._buffers[name] = own[min(index, len(own)) - 1].clone()
    ours = (_fill_from_plain, restore_iterate_statistics)
    for part in module.modules():
        part.__dict__.pop(_KEPT, None)
        for hooks in (part._load_state_dict_pre_hooks, part._state_dict_pre_hooks):
            for key in [key for key, hook in hooks.items() if getattr(hook, 'hook', hook) in ours]:
                del hooks[key]


@contextmanager
def iterate_statistics(module: nn.Module, index: int) -> Iterator[None]:
    """Puts the statistics of one iterate in place in every batch norm of ``module``.

    Args:
        module: A module that :func:`add_iterate_statistics` has been applied to; others are
            left as they are, so that all iterates share the norm's own statistics.
        index: The iterate, from 0. Beyond those that exist, the last one's are used.
    """
    with statistics_in_place(norms_with_iterates(module), index):
        yield


def norms_with_iterates(module: nn.Module) -> List[_BatchNorm]:
    """The batch norms in ``module`` that have statistics of their own for later iterates; raises what
    :func:`restore_iterate_statistics` raises."""
    restore_iterate_statistics(module)
    return [norm for _, norm in _tracked_norms(module) if hasattr(norm, _CHILD)]


@contextmanager
def statistics_in_place(norms: Iterable[_BatchNorm], index: int) -> Iterator[None]:
    """:func:`iterate_statistics` for norms that are at hand (:func:`norms_with_iterates`)."""
    swapped = []
    if index > 0:
        for norm in norms:
            rows: Any = norm._modules[_CHILD]
            row = min(index, rows.rows) - 1
            names = [name for name in _NAMES if name in norm._buffers]  # frozen norms count no batches
            swapped.append((norm, {name: norm._buffers[name] for name in names}))
            norm._buffers.update({name: rows._buffers[name][row] for name in names})
    try:
        yield
    finally:
        for norm, own in swapped:
            norm._buffers.update(own)


class IndexedNorm(_Norm):
    """A batch norm that is called with the index of an iterate, from 0; what its kinds have in common.

    Beyond the statistics that exist, the last iterate's are used; a norm without any has one set for all.
    """

    if TYPE_CHECKING:
        iterates: Any
        num_batches_tracked: Tensor

    def forward(self, x: Tensor, index: int = 0) -> Tensor:
        if not torch.jit.is_scripting():
            _refuse_proxy(x)
        self._check_input_dim(x)
        mean, variance, batches = self.running_mean, self.running_var, self.num_batches_tracked
        if hasattr(self, 'iterates'):
            if index > 0:
                row = min(index, self.iterates.rows) - 1
                mean, variance = self.iterates.running_mean[row], self.iterates.running_var[row]
                batches = self.iterates.num_batches_tracked[row]
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats:
            batches.add_(1)
            if self.momentum is None:  # the mean over all batches
                factor = 1.0 / float(batches)
        if self.training and not self.track_running_stats:  # switched off from outside
            mean, variance = None, None
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training, factor, self.eps)


def _refuse_proxy(x: Any) -> None:
    if isinstance(x, torch.fx.Proxy):
        raise TypeError(
            'torch.fx.symbolic_trace would fix the running statistics of each iterate in the graph; use '
            'timm.models.create_feature_extractor, which calls the norms, or build the network with '
            "norm_statistics='shared'"
        )


class IndexedBatchNorm1d(IndexedNorm, nn.BatchNorm1d):
    """:class:`torch.nn.BatchNorm1d`, called with the index of an iterate."""


class IndexedBatchNorm2d(IndexedNorm, nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d`, called with the index of an iterate."""


class IndexedBatchNorm3d(IndexedNorm, nn.BatchNorm3d):
    """:class:`torch.nn.BatchNorm3d`, called with the index of an iterate."""


_INDEXED = {nn.BatchNorm1d: IndexedBatchNorm1d, nn.BatchNorm2d: IndexedBatchNorm2d, nn.BatchNorm3d: IndexedBatchNorm3d}


def make_norms_indexed(module: nn.Module) -> None:
    """Turns the batch norms in ``module`` into those that are called with an index, in place.

    Parameters, buffers, hooks and state-dict names stay: only the class changes.
    """
    for _, norm in _tracked_norms(module):
        exchange_class(norm, _INDEXED.get(type(norm), type(norm)))


def normalized(norm: nn.Module, x: Tensor, index: int) -> Tensor:
    """``norm(x)`` with the statistics of an iterate, whatever has taken the norm's place (such as SyncBN)."""
    if isinstance(norm, IndexedNorm):
        return norm(x, index=index)
    with iterate_statistics(norm, index):
        return norm(x)
