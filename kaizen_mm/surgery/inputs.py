"""What networks are called with."""

import inspect
import math
import warnings
from typing import Any, Mapping, Tuple

import torch
from torch import Tensor, nn


def most_arguments(network: nn.Module) -> float:
    """How many positional arguments a network takes at most."""
    kinds = [parameter.kind for parameter in inspect.signature(network.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return math.inf
    return sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)


def arguments(example_input) -> Tuple[tuple, dict]:
    """Positional and keyword arguments of the network."""
    if isinstance(example_input, Mapping):
        return (), dict(example_input)
    if isinstance(example_input, (tuple, list)):
        return tuple(example_input), {}
    if not isinstance(example_input, Tensor):
        raise ValueError(
            'example_input must be a tensor, a sequence of positional or a mapping of keyword arguments, got '
            f'{type(example_input).__name__}'
        )
    return (example_input,), {}


def is_flag(value: Any) -> bool:
    """Whether a value is True or False, or the tensor that one becomes while a graph is traced."""
    return isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool and value.dim() == 0)


def constant(flag: Any) -> bool:
    """A flag, which is a constant of a traced graph."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        return bool(flag)
