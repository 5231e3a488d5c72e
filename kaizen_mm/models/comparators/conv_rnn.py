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

In the paper a map reaches the next layer one step of time later. As the image stands still and no connection leads
back, that is the same as every layer taking its t-th step on the t-th output of the layer before, which is what is
computed here. The classifier sees the last layer after each step: of the 17 steps of the release, 11 pass until the
image has come to it, so that 6 are left. (The image is taken away after the 12th of the 17; none of the 6 outputs
knows of it.)
"""

from typing import List, Optional, Tuple

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
State = Tuple[Tensor, Tensor]  # h, c


class ReciprocalGatedCell(nn.Module):
    """One step: ``x_t`` and ``(h_{t-1}, c_{t-1})``, None at first, to ``(h_t, c_t)``."""

    def __init__(self, channels: int, memory: int):
        super().__init__()
        self.memory = memory
        self.hh = nn.Conv2d(channels, channels, 3, 1, 1)
        self.hc = nn.Conv2d(channels, memory, 3, 1, 1)
        self.ch = nn.Conv2d(memory, channels, 3, 1, 1)
        self.cc = nn.Conv2d(memory, memory, 3, 1, 1)
        self.to_memory = nn.Conv2d(channels, memory, 1) if memory != channels else nn.Identity()

    def forward(self, x: Tensor, state: Optional[State]) -> State:
        if state is None:
            state = torch.zeros_like(x), x.new_zeros(len(x), self.memory, *x.shape[-2:])
        h, c = state
        next_c = F.elu((1 - torch.sigmoid(self.hc(h))) * self.to_memory(x) + (1 - torch.sigmoid(self.cc(c))) * c)
        next_h = F.elu((1 - torch.sigmoid(self.ch(c))) * x + (1 - torch.sigmoid(self.hh(h))) * h)
        return next_h, next_c


class ConvRNN(ImageNetwork):
    """Ten convolutions, seven with a reciprocal gated cell; its iterates are the last layer's outputs of each step.

    Args:
        num_iterations: Steps that every layer takes. Default 6.
        memory: Channels of the cells' memory ``c``. Default 64.
        width: Factor of all channels. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(self, num_iterations: int = 6, memory: int = 64, width: float = 1.0, **kwargs):
        check_int('num_iterations', num_iterations)
        check_int('memory', memory)
        memory, *widths = scaled((memory, *(layer[0] for layer in LAYERS)), width)
        # the last pooling leaves a map of one pixel as it is
        super().__init__(widths[-1], smallest=32, **kwargs)
        self.num_iterations = num_iterations
        self.convs, self.cells = nn.ModuleList(), nn.ModuleList()
        channels = self.in_chans
        for index, (out, (_, recurrent, _)) in enumerate(zip(widths, LAYERS)):
            self.convs.append(nn.Conv2d(channels, out, 3 if index else 7, 1 if index else 2, 1 if index else 3))
            self.cells.append(ReciprocalGatedCell(out, memory) if recurrent else nn.ELU())
            channels = out
        self.apply(init_weights)

    def forward_feature_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        self._check_input(x)
        sequence: List[Tensor] = [x]  # before the first cell all steps are alike
        for conv, cell, (_, recurrent, pool) in zip(self.convs, self.cells, LAYERS):
            sequence = [conv(y) for y in sequence]
            if recurrent:
                sequence = self._run(cell, sequence * (self.num_iterations if len(sequence) == 1 else 1))
            else:
                sequence = [cell(y) for y in sequence]
            if pool:
                sequence = [F.max_pool2d(y, 2, ceil_mode=True) for y in sequence]
        return tuple(sequence)

    @staticmethod
    def _run(cell: nn.Module, inputs: List[Tensor]) -> List[Tensor]:
        state: Optional[State] = None
        outputs: List[Tensor] = []
        for x in inputs:
            state = cell(x, state)
            outputs.append(state[0])
        return outputs
