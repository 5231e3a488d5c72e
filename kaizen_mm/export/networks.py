"""Networks as functions of one tensor, which is what exporters take."""

from typing import List, Tuple, Union

from torch import Tensor, nn


class Logits(nn.Module):
    """The logits of a network's last iterate, or of all its iterates.

    Args:
        network: A network whose ``forward`` gives logits and, where it is recurrent, whose ``forward_iterates`` gives
            those of every iterate: those of :mod:`kaizen_mm.models`, of timm's names, a
            :class:`~kaizen_mm.models.RecurrentNetwork`; or a classifier of mmpretrain or a recognizer of mmaction2.
        all_iterates: Whether the result is a tuple of K tensors. Default False, the last one.

    Shape:
        The network's input, normalized as in training: images ``[N, C, H, W]``, clips ``[N, C, T, H, W]``, for a
        recognizer of frames (``Recognizer2D``) ``[N, T, C, H, W]``. Output ``[N, num_classes]``.
    """

    def __init__(self, network: nn.Module, all_iterates: bool = False):
        super().__init__()
        self.network, self.all_iterates = network, all_iterates
        self.train(network.training)

    def forward(self, x: Tensor) -> Union[Tensor, Tuple[Tensor, ...]]:
        network = self.network
        if hasattr(network, 'cls_head'):  # a recognizer; clips are one to a sample, frames are its segments
            features, kwargs = network.extract_feat(
                x.unsqueeze(1) if 'Recognizer3D' in _kinds(network) else x, stage='neck'
            )
            return self._scores(network.cls_head, features, **kwargs)
        if 'ImageClassifier' in _kinds(network):
            return self._scores(network.head, network.extract_feat(x))
        if not self.all_iterates:
            return network(x)
        forward_iterates = getattr(network, 'forward_iterates', None)
        return (network(x),) if forward_iterates is None else tuple(forward_iterates(x))

    def _scores(self, head: nn.Module, features, **kwargs):
        if not self.all_iterates:
            return head(features, **kwargs)
        return (
            tuple(head.iterate_scores(features, **kwargs))
            if hasattr(head, 'iterate_scores')
            else (head(features, **kwargs),)
        )


def _kinds(network: nn.Module) -> List[str]:
    """The names of a network's class and its bases: this module knows OpenMMLab's by name alone."""
    return [kind.__name__ for kind in type(network).__mro__]
