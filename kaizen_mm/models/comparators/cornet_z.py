"""CORnet-Z: the feed-forward network of the CORnet family, an area being one convolution.

Kubilius et al., "CORnet: Modeling the Neural Mechanisms of Core Object Recognition", bioRxiv 408385; layer sizes as
in the public release (github.com/dicarlolab/CORnet).
"""

from typing import TYPE_CHECKING, Any, List, Tuple

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

    feature_modules = AREAS

    if TYPE_CHECKING:
        V1: Any
        V2: Any
        V4: Any
        IT: Any

    def __init__(self, width: float = 1.0, **kwargs):
        widths = scaled((64, 128, 256, 512), width)
        super().__init__(widths[-1], smallest=32, **kwargs)
        channels = self.in_chans
        for area, out in zip(AREAS, widths):
            first = area == 'V1'
            conv = nn.Conv2d(channels, out, 7 if first else 3, 2 if first else 1, 3 if first else 1)
            self.add_module(area, nn.Sequential(conv, nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)))
            channels = out
        self.describe_stages(widths, (4, 8, 16, 32))
        self.apply(init_weights)

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        maps = [self.V1(x)]
        if last > 0:
            maps.append(self.V2(maps[-1]))
        if last > 1:
            maps.append(self.V4(maps[-1]))
        if last > 2:
            maps.append(self.IT(maps[-1]))
        return maps, maps[-1:]
