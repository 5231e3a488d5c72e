"""What follows a recurrent block, applied to each of its iterates."""
from typing import Sequence

from torch import nn

from kaizen_mm.layers.iterate_statistics import add_iterate_statistics, iterate_statistics
from kaizen_mm.layers.recurrent_block import check_norm_statistics, check_num_iterations
from kaizen_mm.layers.transparent import TransparentWrapper


class PerIterate(TransparentWrapper):
    """Applies a module to every iterate.

    The state dict has the names of the wrapped module; only the later iterates' norm statistics
    (``<norm>.iterates.*``) are added.

    Args:
        module: The module.
        num_iterations: ``K``, at least 1; may be set after construction.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``, see
            :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock`.

    Shape:
        A sequence of inputs of the module, first iterate first; result: tuple of its outputs.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    __jit_unused_properties__ = ['num_iterations']

    def __init__(self, module: nn.Module, num_iterations: int, norm_statistics: str = 'per_iterate'):
        super().__init__(module)
        check_norm_statistics(norm_statistics)
        self.norm_statistics = norm_statistics
        self.num_iterations = num_iterations

    @property
    def num_iterations(self) -> int:
        return self._num_iterations

    @num_iterations.setter
    def num_iterations(self, value: int):
        check_num_iterations(value)
        if self.norm_statistics == 'per_iterate':
            add_iterate_statistics(self.wrapped, value)
        self._num_iterations = value

    def forward(self, iterates: Sequence, **kwargs) -> tuple:
        outputs = []
        for i, y in enumerate(iterates):
            with iterate_statistics(self.wrapped, i):
                outputs.append(self.wrapped(y, **kwargs))
        return tuple(outputs)
