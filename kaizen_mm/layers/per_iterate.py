"""What follows a recurrent block, applied to each of its iterates."""

from typing import Callable, Optional, Sequence

from torch import nn

from kaizen_mm.layers.iterate_statistics import add_iterate_statistics, has_running_statistics, iterate_statistics
from kaizen_mm.layers.recurrent_block import check_norm_statistics, check_num_iterations
from kaizen_mm.layers.transparent import TransparentWrapper


class PerIterate(TransparentWrapper):
    """Applies a module to every iterate.

    The state dict has the names of the wrapped module; only the later iterates' norm statistics
    (``<norm>.iterates.*``) are added.

    Args:
        module: The module.
        num_iterations: ``K``, at least 1; may be set after construction. Default None: not known, which only a module
            with batch norm and statistics per iterate needs.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'``, see
            :class:`~kaizen_mm.layers.AdaptiveRecurrentBlock`.

    Shape:
        A sequence of inputs of the module, first iterate first; result: tuple of its outputs.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted; or ``num_iterations`` was not
            given, is needed, and there are several iterates.
    """

    __jit_unused_properties__ = ['num_iterations']

    first_iterate = 0  # index of the first one that it gets: not 0 in a pass with fast weights

    def __init__(self, module: nn.Module, num_iterations: Optional[int] = None, norm_statistics: str = 'per_iterate'):
        super().__init__(module)
        check_norm_statistics(norm_statistics)
        self.norm_statistics = norm_statistics
        self._num_iterations: Optional[int] = None
        if num_iterations is not None:
            self.num_iterations = num_iterations

    @property
    def num_iterations(self) -> Optional[int]:
        return self._num_iterations

    @num_iterations.setter
    def num_iterations(self, value: int):
        check_num_iterations(value)
        if self.norm_statistics == 'per_iterate':
            add_iterate_statistics(self.wrapped, value)
        self._num_iterations = value

    def forward(self, iterates: Sequence, **kwargs) -> tuple:
        return tuple(self.per_iterate(lambda y: self.wrapped(y, **kwargs), iterates))

    def per_iterate(self, function: Callable, iterates: Sequence, last_only: bool = False) -> list:
        """What a function that calls the wrapped module gives for each iterate, with that iterate's statistics in
        place.

        Args:
            function: Takes one iterate.
            iterates: All of them, first iterate first.
            last_only: Whether it is called for the last one alone, or, in training mode where there are statistics of
                each iterate, only the last result is given. Default False.
        """
        if self.num_iterations is None and self.norm_statistics == 'per_iterate' and len(iterates) > 1:
            if has_running_statistics(self.wrapped):
                raise ValueError(
                    f'num_iterations must be given to {type(self).__name__}: its {type(self.wrapped).__name__} has '
                    f'batch norm and there are {len(iterates)} iterates'
                )
        learns = self.training and self.norm_statistics == 'per_iterate' and has_running_statistics(self.wrapped)
        results = []
        for i in range(len(iterates) - 1 if last_only and not learns else 0, len(iterates)):
            with iterate_statistics(self.wrapped, self.first_iterate + i):
                results.append(function(iterates[i]))
        return results[-1:] if last_only else results
