"""ConvRNN: reciprocal gated cells in a feed-forward network of ten convolutions.

Nayebi et al., "Task-Driven Convolutional Recurrent Models of the Visual System", NeurIPS 2018, arXiv:1807.00053.
Layer sizes of the base are those of the public release (github.com/neuroailab/convrnns, the "intermediate" networks):
seven of the convolutions, from the fourth on, are followed by a cell. With ``x`` the convolution's output, ``h`` the
cell's output and ``c`` its memory,

    c_t = elu((1 - sigmoid(W_hc h_{t-1})) V x_t + (1 - sigmoid(W_cc c_{t-1})) c_{t-1}),
    h_t = elu((1 - sigmoid(W_ch c_{t-1})) x_t   + (1 - sigmoid(W_hh h_{t-1})) h_{t-1}),

all ``W`` being 3x3 convolutions and ``V`` a 1x1 one that is there where memory and output differ in channels. With a
memory of 64 channels, that of the published network, this has 15.6 M parameters for the 15.5 M that are published.
The published network came out of a search: its cells have 7x7 separable convolutions and a bypass, and five
connections lead back from later layers.

A map reaches the next layer one step of time later, and at the first step every layer but the first gets zeros. So
layer k runs k - 1 times before the image has come to it, and its biases have filled its memory by then. These steps do
not depend on the image and are taken once, for all of a batch. From then on the image stands still, and every layer
takes its t-th step on the t-th output of the layer before. The classifier sees the image from the 11th of the
release's 17 steps on, 7 times; that a gray image takes its place after the 12th has reached no classifier by then.

The release's convolutions and poolings pad as TensorFlow's ``SAME``: an image of even sides has two rows of zeros
before it and three behind it in the first convolution, one of odd sides three and three.
"""

from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_int
from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, scaled

# channels, whether a cell follows, whether max pooling of stride 2 follows
LAYERS = (
    (64, False, True),
    (128, False, False),
    (128, False, False),
    (128, True, True),
    (128, True, False),
    (256, True, True),
    (256, True, True),
    (256, True, False),
    (512, True, False),
    (512, True, True),
)
_ENDS = [index for index, (_, _, pool) in enumerate(LAYERS) if pool]  # the last layers of the stages


class ReciprocalGatedCell(nn.Module):
    """Runs over the steps of time: first over what a layer has got before the image, from a state of zeros, then over
    what it gets from the image on.

    Shape:
        Lists of ``[1, channels, H, W]`` and of ``[N, channels, H, W]`` to ``h`` of the same shapes. Where there is one
        map from the image on, it is that of all ``num_iterations`` steps.
    """

    def __init__(self, channels: int, memory: int):
        super().__init__()
        self.memory = memory
        self.hh = nn.Conv2d(channels, channels, 3, 1, 1)
        self.hc = nn.Conv2d(channels, memory, 3, 1, 1)
        self.ch = nn.Conv2d(memory, channels, 3, 1, 1)
        self.cc = nn.Conv2d(memory, memory, 3, 1, 1)
        self.to_memory = nn.Conv2d(channels, memory, 1) if memory != channels else nn.Identity()

    def forward(
        self, before: List[Tensor], sequence: List[Tensor], num_iterations: int
    ) -> Tuple[List[Tensor], List[Tensor]]:
        first, count = before[0], sequence[0].shape[0]
        h, c = torch.zeros_like(first), first.new_zeros([1, self.memory, first.shape[2], first.shape[3]])
        arrived, outputs = before[:0], before[:0]
        for x in before:
            h, c = self.step(x, h, c)
            arrived.append(h)
        h, c = h.expand(count, -1, -1, -1), c.expand(count, -1, -1, -1)
        for x in sequence * num_iterations if len(sequence) == 1 else sequence:
            h, c = self.step(x, h, c)
            outputs.append(h)
        return arrived, outputs

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> Tuple[Tensor, Tensor]:
        """``x_t``, ``h_{t-1}`` and ``c_{t-1}`` to ``h_t`` and ``c_t``."""
        next_c = F.elu((1 - torch.sigmoid(self.hc(h))) * self.to_memory(x) + (1 - torch.sigmoid(self.cc(c))) * c)
        next_h = F.elu((1 - torch.sigmoid(self.ch(c))) * x + (1 - torch.sigmoid(self.hh(h))) * h)
        return next_h, next_c


class _NoCell(nn.Module):
    """What stands in the place of a cell in a layer without one."""

    def forward(
        self, before: List[Tensor], sequence: List[Tensor], num_iterations: int
    ) -> Tuple[List[Tensor], List[Tensor]]:
        return [F.elu(x) for x in before], [F.elu(x) for x in sequence]


class _Pooling(nn.Module):
    """Max pooling; with a module of torch's own, ``torch.fx`` finds its first call alone by name."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2, ceil_mode=True)


class ConvRNN(ImageNetwork):
    """Ten convolutions, seven with a reciprocal gated cell; its iterates are the last layer's outputs of each step.

    Args:
        num_iterations: Steps in which the classifier sees the image. Default 7.
        memory: Channels of the cells' memory ``c``. Default 64.
        width: Factor of all channels. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    feature_modules = tuple(f'pools.{index}' for index in _ENDS)

    def __init__(self, num_iterations: int = 7, memory: int = 64, width: float = 1.0, **kwargs):
        check_int('num_iterations', num_iterations)
        check_int('memory', memory)
        memory, *widths = scaled((memory, *(layer[0] for layer in LAYERS)), width)
        # the last pooling leaves a map of one pixel as it is
        super().__init__(widths[-1], smallest=32, **kwargs)
        self.num_iterations = num_iterations
        self.ends = _ENDS
        self.convs, self.cells, self.pools = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = self.in_chans
        for index, (out, (_, recurrent, pool)) in enumerate(zip(widths, LAYERS)):
            # the first pads in forward_stages
            self.convs.append(nn.Conv2d(channels, out, *((3, 1, 1) if index else (7, 2))))
            self.cells.append(ReciprocalGatedCell(out, memory) if recurrent else _NoCell())
            self.pools.append(_Pooling() if pool else nn.Identity())
            channels = out
        self.describe_stages([widths[index] for index in _ENDS], (4, 8, 16, 32, 64))
        self.apply(init_weights)

    def _parts(self, stage: int) -> Tuple[str, ...]:
        layers = range(_ENDS[stage - 1] + 1 if stage else 0, _ENDS[stage] + 1)
        return tuple(f'{kind}.{layer}' for layer in layers for kind in ('convs', 'cells', 'pools'))

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        sequence = [_pad_as_same(x)]  # before the first cell all steps are alike
        before = sequence[:0]  # what the layer has got before the image, [1, C, h, w] each
        maps = sequence[:0]
        for index, (conv, cell, pool) in enumerate(zip(self.convs, self.cells, self.pools)):
            if index <= self.ends[last]:
                if index > 0:
                    before = [torch.zeros_like(sequence[0][:1])] + before
                before, sequence = cell([conv(y) for y in before], [conv(y) for y in sequence], self.num_iterations)
                before, sequence = [pool(y) for y in before], [pool(y) for y in sequence]
                if index in self.ends:
                    maps.append(sequence[-1])
        return maps, sequence * self.num_iterations if len(sequence) == 1 else sequence


def _pad_as_same(x: Tensor) -> Tensor:
    """Zeros around images as TensorFlow's ``SAME`` has them for a kernel of 7 and a stride of 2."""
    height, width = x.shape[-2:]
    return F.pad(x, (2 + width % 2, 3, 2 + height % 2, 3))
