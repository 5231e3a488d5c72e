"""LTC: long-term temporal convolutions, a C3D-like network for clips of 60 and more frames of few pixels.

Varol et al., "Long-term Temporal Convolutions for Action Recognition", arXiv:1604.04494; layer sizes as in the public
release (github.com/gulvarol/ltc): five 3x3x3 convolutions, each followed by max pooling, the first one of space
alone, and two linear layers.
"""

from typing import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_int, check_number, check_shape
from kaizen_mm.models.comparators.base import scaled

_STRIDES = (16, 32, 32)  # of time, height and width, by all poolings


class LTC(nn.Module):
    """LTC up to the features that its classifier gets.

    Args:
        input_size: ``(T, H, W)`` of the clips, to which the first linear layer belongs. Default (60, 58, 58).
        hidden: Units of the two linear layers. Default 2048.
        in_chans: Channels of the input. Default 3.
        drop_rate: Dropout after the first linear layer; that after the second is the classifier's. Default 0.5.
        width: Factor of the convolutions' channels. Default 1.

    Shape:
        ``[N, in_chans, T, H, W] -> [N, hidden]``

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted; a clip of another size.
    """

    def __init__(
        self,
        input_size: Sequence[int] = (60, 58, 58),
        hidden: int = 2048,
        in_chans: int = 3,
        drop_rate: float = 0.5,
        width: float = 1.0,
    ):
        super().__init__()
        self.input_size = check_shape('input_size', input_size, '(T, H, W)', length=3)
        if any(side < stride for side, stride in zip(self.input_size, _STRIDES)):
            raise ValueError(
                f"input_size must be at least {_STRIDES} for the network's poolings, got {self.input_size}"
            )
        for name, value in (('hidden', hidden), ('in_chans', in_chans)):
            check_int(name, value)
        check_number('drop_rate', drop_rate, 0, 1)
        layers, channels = [], in_chans
        for index, out in enumerate(scaled((64, 128, 256, 256, 256), width)):
            layers += [
                nn.Conv3d(channels, out, 3, 1, 1),
                nn.ReLU(inplace=True),
                nn.MaxPool3d((2 if index else 1, 2, 2)),
            ]
            channels = out
        self.features = nn.Sequential(*layers)
        frames, height, columns = (side // stride for side, stride in zip(self.input_size, _STRIDES))
        self.fc1, self.fc2 = nn.Linear(channels * frames * height * columns, hidden), nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(drop_rate)
        self.num_features = hidden
        for name, parameter in self.named_parameters():
            if name.endswith('.bias'):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity='relu')

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != self.input_size:
            raise ValueError(f'input must be clips of (T, H, W) = {self.input_size}, got {tuple(x.shape[2:])}')
        x = self.features(x).flatten(1)  # [N, C, T / 16, H / 32, W / 32] -> [N, C * ...]
        return F.relu(self.fc2(self.dropout(F.relu(self.fc1(x)))))
