"""Multiply-adds of what counters of operations do not know.

The low-rank update ends in ``baddbmm``, ``y + alpha * P_n (A^T x)``, which fvcore and mmengine leave out.
"""

import importlib
from typing import Any, List


def baddbmm_multiply_adds(inputs: List[Any], outputs: List[Any]) -> int:
    """Of ``baddbmm``: ``N x R x F x S`` for a sum ``[N, R, S]`` of products of ``[N, R, F]`` and ``[N, F, S]``.

    Args:
        inputs, outputs: Values of the traced graph, as fvcore and mmengine give them.
    """
    (batch, rows, inner), (_, _, columns) = (value.type().sizes() for value in inputs[1:3])
    return batch * rows * inner * columns


def count_with_fvcore() -> None:
    """Lets fvcore count it, and the activations that it gives."""
    flops = importlib.import_module('fvcore.nn.flop_count')  # fvcore.nn has functions of these names
    activations = importlib.import_module('fvcore.nn.activation_count')
    flops._DEFAULT_SUPPORTED_OPS['aten::baddbmm'] = baddbmm_multiply_adds
    activations._DEFAULT_SUPPORTED_OPS['aten::baddbmm'] = activations._DEFAULT_SUPPORTED_OPS['aten::bmm']


def count_with_mmengine() -> None:
    """Lets ``mmengine.analysis.get_model_complexity_info`` count it."""
    from mmengine.analysis import complexity_analysis

    complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS['aten::baddbmm'] = baddbmm_multiply_adds
    activations = complexity_analysis._DEFAULT_SUPPORTED_ACT_OPS
    activations['aten::baddbmm'] = activations['aten::bmm']
