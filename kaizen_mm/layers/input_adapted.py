"""A layer whose weight ``h`` rewrites in one pass, from what the layer reads.

Battash & Wolf (arXiv:1910.11105, eq. 2) let ``h`` read what a block has made of its input, which takes a pass of its
own. Here it reads the layer's input: ``y = (W_1 + alpha h(u)) * u``, per sample, as in conditional and dynamic
convolutions (:mod:`kaizen_mm.layers.global_adapter` names them). There is no recurrence in it; it is what the
recurrence is compared with.
"""

from typing import Sequence

from torch import Tensor, nn

from kaizen_mm.layers.adapters import build_adapter
from kaizen_mm.layers.dynamic_conv import dynamic_kind, make_dynamic
from kaizen_mm.layers.transparent import TransparentWrapper


class InputAdaptedLayer(TransparentWrapper):
    """A convolution or linear layer with ``W_1 + alpha h(u)``, where ``u`` is its own input.

    The state dict has the names of the layer, and those of ``adapter.*`` beside them.

    Args:
        layer: The layer; changed in place.
        input_shape: Shape ``(C, *spatial)`` of one sample of its input.
        name: What errors call it.
        adapter: Options of :func:`~kaizen_mm.layers.adapters.build_adapter`: ``adapter``, ``alpha``,
            ``pool_kernel``, ...

    Shape:
        That of the layer.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
        TypeError: ``layer`` is no convolution or linear layer, or an unknown argument.
    """

    def __init__(self, layer: nn.Module, input_shape: Sequence[int], name: str = 'layer', **adapter):
        super().__init__(layer)
        dynamic_kind(layer, name)
        weight: Tensor = layer.weight  # type: ignore[assignment]
        self.add_own_module('adapter', build_adapter(input_shape, {name: weight.shape}, **adapter).to(weight))
        make_dynamic(layer, name)

    def forward(self, u: Tensor) -> Tensor:
        (increment,) = self.adapter.update(self.adapter.initial(), u)
        return increment.apply(self.wrapped, u)
