"""Modules that become another kind in place, and what they were before again."""

from torch import nn

_BEFORE = '_class_before'


def exchange_class(module: nn.Module, kind: type) -> None:
    """Makes a module one of another class; parameters, buffers, hooks and state-dict names stay."""
    module.__dict__.setdefault(_BEFORE, type(module))
    module.__class__ = kind


def restore_class(module: nn.Module) -> None:
    """Makes a module what it was before :func:`exchange_class`, if it was applied to it."""
    module.__class__ = module.__dict__.pop(_BEFORE, type(module))
