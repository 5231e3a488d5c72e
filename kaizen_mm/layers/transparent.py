"""A wrapper module that leaves no trace in state dicts.

The wrapped module is registered under one name. That name is left out of the keys on saving and put back on loading. So
a checkpoint of the plain network loads into the wrapped one, and the other way round.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, cast

import torch
from torch import Tensor, nn


class TransparentWrapper(nn.Module):
    """Base class of modules whose state-dict keys are those of what they wrap.

    Args:
        wrapped: The module whose keys lose their prefix.

    Raises:
        TypeError: ``wrapped`` is no module.
    """

    if TYPE_CHECKING:  # parts that come from elsewhere are of any kind
        wrapped: Any

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, wrapped: nn.Module):
        super().__init__()
        if not isinstance(wrapped, nn.Module):
            raise TypeError(f'wrapped must be a torch.nn.Module, got {type(wrapped).__name__}')
        self.wrapped = wrapped
        self._register_state_dict_hook(_hide_wrapped)
        self.register_load_state_dict_pre_hook(_address_wrapped)

    def add_own_module(self, name: str, module: nn.Module) -> None:
        """Adds a child whose keys stand beside those of the wrapped module.

        Raises:
            ValueError: The wrapped module has a child or tensor of that name.
        """
        taken = {key.split('.')[0] for key in self.wrapped.state_dict()}
        if name in taken:
            raise ValueError(
                f'the wrapped {type(self.wrapped).__name__} has state under the name {name!r} already; rename it there'
            )
        nn.Module.add_module(self, name, module)


def _hide_wrapped(module, state_dict, prefix, local_metadata):
    long = f'{prefix}wrapped.'
    for key in [k for k in state_dict if k.startswith(long)]:
        state_dict[prefix + key[len(long) :]] = state_dict.pop(key)
    return state_dict


def _address_wrapped(module, state_dict, prefix, *args):
    own = tuple(f'{prefix}{name}.' for name in module._modules if name != 'wrapped')
    for key in [k for k in state_dict if k.startswith(prefix)]:
        if not key.startswith(own):
            state_dict[f'{prefix}wrapped.{key[len(prefix) :]}'] = state_dict.pop(key)


class DelegatingWrapper(TransparentWrapper):
    """A wrapper through which the attributes of the wrapped module can be read, and its submodules and parameters
    exchanged."""

    def add_module(self, name: str, module: Optional[nn.Module]) -> None:
        if self._is_of_wrapped(name):
            self.wrapped.add_module(name, module)
        else:
            super().add_module(name, module)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (nn.Module, Tensor)) and self._is_of_wrapped(name):
            setattr(self.wrapped, name, value)
        else:
            super().__setattr__(name, value)

    def _is_of_wrapped(self, name: str) -> bool:
        """Whether a name is that of a submodule or tensor of the wrapped module, and of none here."""
        own = self.__dict__.get('_modules', {})
        wrapped = own.get('wrapped')
        if wrapped is None or name in own or hasattr(type(self), name):
            return False
        if isinstance(wrapped, DelegatingWrapper) and wrapped._is_of_wrapped(name):
            return True
        return any(name in kind for kind in (wrapped._modules, wrapped._parameters, wrapped._buffers))

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            wrapped = self.__dict__.get('_modules', {}).get('wrapped')
            if wrapped is None or name.startswith('__'):
                raise
            return getattr(wrapped, name)


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable) -> Iterator[None]:
    """Another function in the place of a module's ``forward``.

    Unlike a hook, which compiled code does not notice (``torch._dynamo.config.skip_nnmodule_hook_guards``).
    """
    own = module.__dict__.get('forward')
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


@contextmanager
def call_replaced(root: nn.Module, name: str, make: Callable[[Callable], Callable]) -> Iterator[Callable]:
    """In the place of the calls of a submodule stands a function, the one that ``make`` makes of what is called."""
    module = root.get_submodule(name)
    if not torch.compiler.is_dynamo_compiling():
        function = make(module.forward)
        with forward_replaced(module, function):
            yield function
        return
    # torch.compile follows a module that is exchanged for another, but not a forward
    path, _, own = name.rpartition('.')
    siblings, function = root.get_submodule(path)._modules, make(module)
    siblings[own] = cast(nn.Module, _StandIn(module, function))
    try:
        yield function
    finally:
        siblings[own] = module


class _StandIn:
    """A module that is called by another function."""

    def __init__(self, module: nn.Module, function: Callable):
        self._module, self._function = module, function

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self._module, name)
