"""Feedback Network: convolutional LSTMs over iterations that all see the image, with a prediction at each.

Zamir et al., "Feedback Networks", CVPR 2017, arXiv:1612.09508; layer sizes as in the public release
(github.com/StanfordVL/feedback-networks, the network of physical depth 12). Each of four LSTMs computes its four
gates from its input and from its last output, by three convolutions with a shortcut around the first two:

    i, f, o = sigmoid(X(x_t) + H(h_{t-1})),  g = tanh(X(x_t) + H(h_{t-1})),
    c_t = f c_{t-1} + i g,  h_t = o tanh(c_t).

Within an iteration LSTM l gets what LSTM l-1 has just given; the first gets the same map in all. The loss is the sum
of that of every iteration: :class:`~kaizen_mm.losses.KaizenLoss` with ``gamma_first=1``, ``gamma_others=1`` and
``kaizen_weight=0``.
"""

from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_choice, check_int, check_shape
from kaizen_mm.layers.iterate_statistics import (
    add_iterate_statistics,
    make_norms_indexed,
    normalized,
    restore_iterate_statistics,
)
from kaizen_mm.layers.recurrent_block import check_norm_statistics
from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, resnet_stem, scaled

STEMS = ('small', 'imagenet')
State = Tuple[Tensor, Tensor]  # h, c


class GatePath(nn.Module):
    """Three 3x3 convolutions with batch norm, and a shortcut around the first two; all four gates' outputs side by
    side: ``[N, C, H, W] -> [N, 4 * channels, H / stride, W / stride]``."""

    def __init__(self, in_channels: int, channels: int, stride: int, bias: bool):
        super().__init__()
        gates = 4 * channels
        self.stride, self.channels = stride, channels
        self.conv1 = nn.Conv2d(in_channels, gates, 3, stride, 1, bias=bias)
        self.conv2, self.conv3 = (nn.Conv2d(gates, gates, 3, 1, 1, groups=4, bias=bias) for _ in range(2))
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(gates) for _ in range(3))

    def forward(self, x: Tensor, index: int) -> Tensor:
        """``index``: of the iteration, from 0."""
        if torch.jit.is_scripting():
            z = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x), index=index))), index=index)
        else:
            z = normalized(self.bn2, self.conv2(F.relu(normalized(self.bn1, self.conv1(x), index))), index)
        # a shortcut without parameters: every second pixel, new channels filled with zeros
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.channels - x.shape[1]))
        z = self.conv3(F.relu(z + shortcut.repeat(1, 4, 1, 1)))
        if torch.jit.is_scripting():
            return self.bn3(z, index=index)
        else:
            return normalized(self.bn3, z, index)


class ConvLSTM(nn.Module):
    """One step: ``x_t``, ``(h_{t-1}, c_{t-1})``, None at first, and ``t`` from 0, to ``(h_t, c_t)``."""

    def __init__(self, in_channels: int, channels: int, stride: int):
        super().__init__()
        self.channels, self.stride = channels, stride
        self.input_path = GatePath(in_channels, channels, stride, bias=True)
        self.hidden_path = GatePath(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, state: Optional[State], index: int) -> State:
        from_input = self.input_path(x, index)
        if state is None:
            zeros = torch.zeros_like(from_input[:, : self.channels])
            state = zeros, zeros
        i, f, o, g = (from_input + self.hidden_path(state[0], index)).chunk(4, dim=1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class _Output(nn.Module):
    """What follows the last LSTM; with a module of torch's own, ``torch.fx`` finds its first call alone by name."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class FeedbackNet(ImageNetwork):
    """Feedback Network of four convolutional LSTMs.

    Args:
        num_iterations: ``T``. Default 4.
        stem: ``'small'`` (default; a 3x3 convolution, as on CIFAR-100) or ``'imagenet'`` (a 7x7 convolution of stride 2
            and max pooling).
        widths: Channels of the stem and of the four LSTMs, none below the one before. Default (16, 16, 32, 64, 64).
        width: Factor of all channels. Default 1.
        norm_statistics: ``'per_iterate'`` (default) or ``'shared'`` running statistics of the batch norms.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    feature_modules = ('stem', 'lstms.0', 'lstms.1', 'lstms.2', 'output')

    def __init__(
        self,
        num_iterations: int = 4,
        stem: str = 'small',
        widths: Sequence[int] = (16, 16, 32, 64, 64),
        width: float = 1.0,
        norm_statistics: str = 'per_iterate',
        **kwargs,
    ):
        check_int('num_iterations', num_iterations)
        check_choice('stem', stem, STEMS)
        check_norm_statistics(norm_statistics)
        widths = check_widths(widths)
        channels, *widths = scaled(widths, width)
        stem_channels = channels
        super().__init__(widths[-1], smallest=4 if stem == 'small' else 16, **kwargs)
        self.num_iterations = num_iterations
        if stem == 'small':
            self.stem = nn.Sequential(
                nn.Conv2d(self.in_chans, channels, 3, 1, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
            )
        else:
            self.stem = resnet_stem(self.in_chans, channels)
        self.lstms = nn.ModuleList()
        for out, stride in zip(widths, (1, 2, 2, 1)):
            self.lstms.append(ConvLSTM(channels, out, stride))
            channels = out
        self.output = _Output()
        first = 1 if stem == 'small' else 4
        self.describe_stages((stem_channels, *widths), [first * reduction for reduction in (1, 1, 2, 4, 4)])
        self.apply(init_weights)
        if norm_statistics == 'per_iterate':
            add_iterate_statistics(self.lstms, num_iterations)
            make_norms_indexed(self.lstms)

    def __prepare_scriptable__(self) -> nn.Module:
        make_norms_indexed(self.lstms)
        return self

    def _parts(self, stage: int) -> Tuple[str, ...]:
        return (f'lstms.{stage - 1}',) if stage else ('stem',)

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        if not torch.jit.is_scripting():
            restore_iterate_statistics(self.lstms)
        image = self.stem(x)
        states: List[State] = []
        maps = [image]
        iterates = maps[:0]
        for index in range(self.num_iterations):
            maps = [image]
            for place, lstm in enumerate(self.lstms):
                if place < last:
                    state: Optional[State] = None
                    if index > 0:
                        state = states[place]
                    h, c = lstm(maps[-1], state, index)
                    if index == 0:
                        states.append((h, c))
                    else:
                        states[place] = (h, c)
                    maps.append(self.output(h) if place == 3 else h)
            iterates.append(maps[-1])
        return maps, iterates


def check_widths(widths: Sequence[int]) -> Tuple[int, ...]:
    """Raises ValueError unless the widths are five that do not fall: a shortcut without parameters cannot lose
    channels."""
    widths = check_shape('widths', widths, 'of the stem and of the four LSTMs', length=5)
    if list(widths) != sorted(widths):
        raise ValueError(f'widths must not fall, got {widths!r}')
    return widths
