"""The expert weight adapter: gates, read from a block's activations, mix kernels that all samples share.

It is the conditional convolution of CondConv (Yang et al., arXiv:1904.04971) in the place of ``h``. Where a layer reads
its own input by it, in one pass, the layer is a CondConv. One of its experts, ``W_1``, then always has the gate 1.
"""

import math
from typing import List, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_int
from kaizen_mm.layers.weight_adapter import WeightAdapter, check_weights


class ExpertAdapter(WeightAdapter):
    """``adapter='experts'``: ``dW_n = alpha sum_e g_e(z_n) E_e`` with gates ``g = sigmoid(linear(mean of z))``.

    Each layer has experts and gates of its own: ``experts (rows fan_in + C + 1)`` parameters. Experts start as the
    weight of a new convolution does: unlike other kinds of ``h``, this one changes the network from the start.

    Args:
        feedback_shape: Shape ``(C, *spatial)`` of one sample's feedback map ``z``; ``spatial`` may be any. Maps of
            other channels are refused.
        weight_shapes: Shape of each dynamic layer's weight, by layer name.
        alpha: Step size of eq. 2. Default 1.
        feedback_layout: See :class:`~kaizen_mm.layers.WeightAdapter`.
        experts: How many kernels each layer mixes. Default 4.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    any_size = True

    def __init__(
        self,
        feedback_shape: Sequence[int],
        weight_shapes: Mapping[str, Sequence[int]],
        *,
        alpha: Optional[float] = None,
        feedback_layout: str = 'channels_first',
        experts: int = 4,
    ):
        alpha = 1.0 if alpha is None else alpha
        super().__init__(feedback_shape, weight_shapes, alpha, feedback_layout, low_rank=False)
        check_int('experts', experts)
        channels, shapes = self.feedback_shape[0], list(self.weight_shapes.values())
        check_weights(
            experts * sum(math.prod(shape) + channels + 1 for shape in shapes), f'fewer than experts={experts}'
        )
        self.gates = nn.ModuleList(nn.Linear(channels, experts) for _ in shapes)
        self.experts = nn.ParameterList(nn.Parameter(torch.empty(experts, *shape)) for shape in shapes)
        for kernels in self.experts:
            for kernel in kernels:
                nn.init.kaiming_uniform_(kernel, a=math.sqrt(5))

    def changes_of_map(self, z: Tensor) -> List[Tensor]:
        mean = z.flatten(2).mean(dim=2) if z.dim() > 2 else z
        changes: List[Tensor] = []
        for gate, kernels in zip(self.gates, self.experts):
            change = torch.sigmoid(gate(mean)) @ kernels.flatten(1)
            changes.append(self.alpha * change.reshape([-1] + list(kernels.shape[1:])))
        return changes
