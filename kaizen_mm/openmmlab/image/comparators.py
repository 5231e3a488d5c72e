"""The comparison networks in mmpretrain's registry; every backbone yields the tuple of its iterates' maps.

``CORnetS``, ``CORnetZ``, ``CORnetRT``, ``ShaResNet``, ``IamNN``, ``FeedbackNet`` and ``ConvRNN`` take the arguments
of the networks in :mod:`kaizen_mm.models.comparators`, and ``init_cfg``.
"""

from collections import OrderedDict
from typing import Optional, Tuple

import torchvision
from mmengine.model import BaseModule
from mmpretrain.models.classifiers import ImageClassifier
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from kaizen_mm.arguments import check_number
from kaizen_mm.models import comparators


class _WithoutClassifier:
    """What makes a network of :mod:`kaizen_mm.models.comparators` a backbone."""

    def __init__(self, init_cfg: Optional[dict] = None, **kwargs):
        super().__init__(num_classes=0, **kwargs)
        self.init_cfg = init_cfg

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return self.forward_feature_iterates(x)


for _name in ('CORnetS', 'CORnetZ', 'CORnetRT', 'ShaResNet', 'IamNN', 'FeedbackNet', 'ConvRNN'):
    _network = getattr(comparators, _name)
    MODELS.register_module(
        name=_name,
        module=type(
            f'{_name}Backbone',
            (_WithoutClassifier, _network, BaseModule),
            dict(__doc__=f':class:`kaizen_mm.models.comparators.{_name}`; yields its iterates.', __module__=__name__),
        ),
    )


@MODELS.register_module()
class TorchvisionBackbone(BaseModule):
    """The feature layers of a classifier of torchvision, such as GoogLeNet or SqueezeNet, which mmpretrain and timm do
    not have.

    Args:
        model_name: As for :func:`torchvision.models.get_model`. The network must be a sequence of layers that ends in
            ``avgpool``, ``dropout`` and ``fc``, or have ``features``.
        kwargs: Those of the network; ``aux_logits=False`` where it has auxiliary classifiers.

    Raises:
        ValueError: torchvision has no such network, it is of another kind, or it has auxiliary classifiers.
    """

    def __init__(self, model_name: str, init_cfg: Optional[dict] = None, **kwargs):
        super().__init__(init_cfg)
        if model_name not in torchvision.models.list_models(module=torchvision.models):
            raise ValueError(f'model_name must be one of torchvision.models.list_models(), got {model_name!r}')
        network = torchvision.models.get_model(model_name, weights=None, **kwargs)
        if not hasattr(network, 'features') and not hasattr(network, 'fc'):
            raise ValueError(f"model_name must be a network with 'features' or 'fc', got {model_name!r}")
        if getattr(network, 'aux_logits', False):
            raise ValueError(f'aux_logits must be False for {model_name}, whose layers are taken one after another')
        self.features = (
            network.features
            if hasattr(network, 'features')
            else nn.Sequential(
                OrderedDict(
                    (name, child)
                    for name, child in network.named_children()
                    if name not in ('avgpool', 'dropout', 'fc')
                )
            )
        )

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return (self.features(x),)


@MODELS.register_module()
class NarrowBackbone(BaseModule):
    """Any backbone of convolutions with its channels times a factor, see :func:`kaizen_mm.models.comparators.narrow`.

    Args:
        backbone: Config of the backbone.
        width: The factor.
    """

    def __init__(self, backbone: dict, width: float, init_cfg: Optional[dict] = None):
        super().__init__(init_cfg)
        self.backbone = comparators.narrow(MODELS.build(backbone), width)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return self.backbone(x)


@MODELS.register_module()
class PonderingClassifier(ImageClassifier):
    """An image classifier that adds its backbone's ponder cost to the loss (arXiv:1603.08983, eq. 13).

    Args:
        ponder_weight: ``tau``, the weight of the ponder cost. Default 1e-3.
        args, kwargs: Those of mmpretrain's ``ImageClassifier``; the backbone has a ``ponder_cost``, as ``IamNN`` does.

    Raises:
        ValueError: ``ponder_weight`` is no number >= 0, or the backbone has no ponder cost.
    """

    def __init__(self, *args, ponder_weight: float = 1e-3, **kwargs):
        super().__init__(*args, **kwargs)
        check_number('ponder_weight', ponder_weight)
        if not hasattr(self.backbone, 'ponder_cost'):
            raise ValueError(
                f'backbone must have a ponder_cost, as IamNN does; {type(self.backbone).__name__} has none'
            )
        self.ponder_weight = ponder_weight

    def loss(self, inputs: Tensor, data_samples: list) -> dict:
        """The head's losses and ``loss_ponder``; ``ponder_cost`` is logged."""
        losses = super().loss(inputs, data_samples)
        cost = self.backbone.ponder_cost
        return {**losses, 'loss_ponder': self.ponder_weight * cost, 'ponder_cost': cost.detach()}
