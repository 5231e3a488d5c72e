"""The tensors in what modules take and give."""

from typing import Any, List, Mapping, Sequence

import torch
from torch import Tensor


def tensors(value: Any) -> List[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, (tuple, list)) else ()
    return [tensor for v in values for tensor in tensors(v)]


def same_tensors(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether tensors are those that were expected, but for another order of summation."""
    return len(found) == len(expected) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
        for a, b in zip(found, expected)
    )
