"""CORnet-Z: the feed-forward network of the CORnet family, an area being one convolution.

Kubilius et al., "CORnet: Modeling the Neural Mechanisms of Core Object Recognition", bioRxiv 408385; layer sizes as
in the public release (github.com/dicarlolab/CORnet).
"""

from typing import Tuple

from torch import Tensor, nn

from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, scaled

AREAS = ('V1', 'V2', 'V4', 'IT')


class CORnetZ(ImageNetwork):
    """CORnet-Z: 2,071,656 parameters with 1000 classes; one iterate.

    Args:
        width: Factor of all channels. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.
    """

    num_iterations = 1

    def __init__(self, width: float = 1.0, **kwargs):
        widths = scaled((64, 128, 256, 512), width)
        super().__init__(widths[-1], smallest=32, **kwargs)
        channels = self.in_chans
        for area, out in zip(AREAS, widths):
            first = area == 'V1'
            conv = nn.Conv2d(channels, out, 7 if first else 3, 2 if first else 1, 3 if first else 1)
            self.add_module(area, nn.Sequential(conv, nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)))
            channels = out
        self.apply(init_weights)

    def forward_feature_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        self._check_input(x)
        for area in AREAS:
            x = getattr(self, area)(x)
        return (x,)
