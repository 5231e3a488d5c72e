"""CORnet-RT: every area passes its output on one step of time later, and adds its last output to its input.

Kubilius et al., "CORnet: Modeling the Neural Mechanisms of Core Object Recognition", bioRxiv 408385; layer sizes as
in the public release (github.com/dicarlolab/CORnet), where an area that the image has not reached yet gets zeros.
"""

from typing import TYPE_CHECKING, Any, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import is_int
from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, scaled

AREAS = ('V1', 'V2', 'V4', 'IT')
_GROUPS = 32  # of the group norms


class TimedArea(nn.Module):
    """An input convolution, the last output added to it, and a convolution; group norm and ReLU after each.

    Gives what it has after each step of time, ``[N, channels, H / stride, W / stride]`` each, for what the area before
    has given, ``[N, in_channels, H, W]`` each. That of the first area is the image; the others get nothing at the first
    step (``waits``), and give one map more than they get.
    """

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int):
        super().__init__()
        self.conv_input = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2)
        self.norm_input = nn.GroupNorm(_GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1 = nn.GroupNorm(_GROUPS, channels)

    def forward(self, inputs: List[Tensor], waits: bool) -> List[Tensor]:
        drives = [F.relu(self.norm_input(self.conv_input(x))) for x in inputs]
        if waits:
            drives = [torch.zeros_like(drives[0])] + drives
        outputs: List[Tensor] = []
        for drive in drives:
            outputs.append(F.relu(self.norm1(self.conv1(drive if len(outputs) == 0 else drive + outputs[-1]))))
        return outputs


class CORnetRT(ImageNetwork):
    """CORnet-RT; its iterates are what IT gives from the step on at which the image reaches it, the fourth.

    Args:
        times: Steps of time, at least 4. Default 5, which gives two iterates.
        width: Factor of all channels, which stay multiples of 32. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    feature_modules = AREAS

    if TYPE_CHECKING:
        V1: Any
        V2: Any
        V4: Any
        IT: Any

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
        self.describe_stages(widths, (4, 8, 16, 32))
        self.apply(init_weights)

    @property
    def num_iterations(self) -> int:
        """How many iterates it gives."""
        return self.times - len(AREAS) + 1

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        outputs = self.V1([x] * self.times, False)
        maps = [outputs[-1]]
        # an area gets what the one before has given a step before
        if last > 0:
            outputs = self.V2(outputs[:-1], True)
            maps.append(outputs[-1])
        if last > 1:
            outputs = self.V4(outputs[:-1], True)
            maps.append(outputs[-1])
        if last > 2:
            outputs = self.IT(outputs[:-1], True)
            maps.append(outputs[-1])
        return maps, outputs[last:]
