"""CORnet-RT: every area passes its output on one step of time later, and adds its last output to its input.

Kubilius et al., "CORnet: Modeling the Neural Mechanisms of Core Object Recognition", bioRxiv 408385; layer sizes as
in the public release (github.com/dicarlolab/CORnet), where an area that the image has not reached yet gets zeros.
"""

from typing import Dict, List, Optional, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import is_int
from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, scaled

AREAS = ('V1', 'V2', 'V4', 'IT')
_GROUPS = 32  # of the group norms


class TimedArea(nn.Module):
    """An input convolution, the last output added to it, and a convolution; group norm and ReLU after each."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int):
        super().__init__()
        self.conv_input = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2)
        self.norm_input = nn.GroupNorm(_GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1 = nn.GroupNorm(_GROUPS, channels)

    def forward(self, x: Optional[Tensor], state: Optional[Tensor], like: Tensor) -> Tensor:
        """``x``: what the area before has given, None before the image has come; ``state``: this area's last output;
        ``like``: a map of zeros."""
        drive = like if x is None else F.relu(self.norm_input(self.conv_input(x)))
        return F.relu(self.norm1(self.conv1(drive if state is None else drive + state)))


class CORnetRT(ImageNetwork):
    """CORnet-RT; its iterates are what IT gives from the step on at which the image reaches it, the fourth.

    Args:
        times: Steps of time, at least 4. Default 5, which gives two iterates.
        width: Factor of all channels, which stay multiples of 32. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(self, times: int = 5, width: float = 1.0, **kwargs):
        if not is_int(times) or times < len(AREAS):
            raise ValueError(
                f'times must be an int >= {len(AREAS)}, the steps until the image has reached IT, got {times!r}'
            )
        widths = scaled((64, 128, 256, 512), width, multiple=_GROUPS)
        super().__init__(widths[-1], smallest=32, **kwargs)
        self.times = times
        channels = self.in_chans
        for area, out in zip(AREAS, widths):
            self.add_module(area, TimedArea(channels, out, 7 if area == 'V1' else 3, 4 if area == 'V1' else 2))
            channels = out
        self.apply(init_weights)

    @property
    def num_iterations(self) -> int:
        """How many iterates it gives."""
        return self.times - len(AREAS) + 1

    def forward_feature_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        self._check_input(x)
        height, width = -(-x.shape[-2] // 4), -(-x.shape[-1] // 4)
        outputs: Dict[str, Optional[Tensor]] = dict.fromkeys(AREAS)
        iterates: List[Tensor] = []
        for time in range(self.times):
            given: Optional[Tensor] = x
            size = height, width
            latest: Dict[str, Tensor] = {}
            for area in AREAS:
                module = getattr(self, area)
                like = x.new_zeros(len(x), module.conv1.in_channels, *size)
                latest[area] = module(given, outputs[area], like)
                # the next area gets what this one has given a step before, from the second step on
                given, size = outputs[area], (-(-size[0] // 2), -(-size[1] // 2))
            outputs.update(latest)
            if time >= len(AREAS) - 1:
                iterates.append(latest['IT'])
        return tuple(iterates)
