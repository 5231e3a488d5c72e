"""IamNN: a residual network whose stages iterate one unit, as long as each image needs it.

Leroux et al., "IamNN: Iterative and Adaptive Mobile Neural Network for Efficient Image Classification", ICLR 2018
workshop, arXiv:1804.10123. The halting is Graves's adaptive computation time (arXiv:1603.08983). After iteration n a
linear layer on the pooled state gives ``h_n = sigmoid(w s_n + b)``. An image halts at the first N with ``h_1 + ... +
h_N >= 1 - epsilon``. A stage gives ``sum_{n<N} h_n s_n + R s_N`` with the remainder ``R = 1 - sum_{n<N} h_n``. The
ponder cost of the stage is ``N + R``.

Of layer sizes we know no more than that the structure is that of a ResNet, with about 4.8 M parameters for one
iteration and 5 M for all. These numbers come out with the bottlenecks of ResNet-101 (256 to 2048 channels, 3, 4, 23 and
3 iterations) and three changes. The 3x3 convolution is depthwise as in MobileNet. Shortcuts between stages have no
parameters. Each iteration has batch norms of its own.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaizen_mm.arguments import check_int, check_number, check_shape
from kaizen_mm.layers.increments import is_exporting
from kaizen_mm.models.comparators.base import ImageNetwork, init_weights, resnet_stem, scaled

REDUCTION = 4


class Pondered(NamedTuple):
    """What an adaptive stage gives: after every iteration the map ``[N, C, H, W]`` that it would give if it were the
    last, and the ponder cost ``[N]``."""

    iterates: List[Tensor]
    ponder_cost: Tensor


class AdaptiveStage(nn.Module):
    """A bottleneck that is iterated up to ``num_iterations`` times, and a halting unit; with one iteration there is
    none. An input of fewer than ``channels`` channels is filled with zeros."""

    def __init__(self, channels: int, num_iterations: int, epsilon: float):
        super().__init__()
        inner = max(channels // REDUCTION, 1)
        self.channels, self.epsilon = channels, epsilon
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.norms1, self.norms2 = (
            nn.ModuleList(nn.BatchNorm2d(inner) for _ in range(num_iterations)) for _ in range(2)
        )
        self.norms3 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(num_iterations))
        self.halting = nn.Linear(channels, 1) if num_iterations > 1 else None
        if self.halting is not None:  # to begin with, all images take about 20 iterations
            nn.init.zeros_(self.halting.weight)
            nn.init.constant_(self.halting.bias, -3.0)

    def forward(self, state: Tensor) -> Pondered:
        count = len(self.norms1)
        state = F.pad(state, (0, 0, 0, 0, 0, self.channels - state.shape[1]))
        left = state.new_ones([state.shape[0]])  # 1 - sum of h so far
        going = torch.ones_like(left, dtype=torch.bool)
        weighted = torch.zeros_like(state)
        steps = torch.zeros_like(left)
        cost = steps
        iterates: List[Tensor] = []
        done = False
        for index, (norm1, norm2, norm3) in enumerate(zip(self.norms1, self.norms2, self.norms3)):
            if done:
                iterates.append(weighted)
            else:
                z = F.relu(norm1(self.conv1(state)))
                z = F.relu(norm2(self.conv2(z)))
                state = F.relu(state + norm3(self.conv3(z)))
                steps = steps + going.to(left)
                cost = steps + left
                # if this were the last iteration, the remainder would be this state's; an image that has halted keeps
                # what it has
                ends = weighted + _of_each(left * going) * state
                iterates.append(ends)
                if self.halting is not None:
                    if index + 1 < count:
                        h = torch.sigmoid(self.halting(state.mean(dim=(2, 3))).squeeze(1))
                        stops = going & (left - h <= self.epsilon)
                        weighted = torch.where(_of_each(stops), ends, weighted + _of_each(h * going) * state)
                        left = torch.where(going & ~stops, left - h, left)
                        going = going & ~stops
                        done = self._may_stop(going)
        return Pondered(iterates, cost)

    def _may_stop(self, going: Tensor) -> bool:
        """Whether iterations that no image needs are left out: not in training, and not in a graph, which is to hold
        for other images too; there they change nothing."""
        if not torch.jit.is_scripting():
            if not isinstance(going, Tensor) or torch.jit.is_tracing() or torch.compiler.is_compiling():
                return False
        return not self.training and not bool(going.any())


def _of_each(values: Tensor) -> Tensor:
    return values[:, None, None, None]  # [N] -> [N, 1, 1, 1]


class IamNN(ImageNetwork):
    """IamNN; its iterates are what its last stage would give if it halted for all images after 1, 2, ... iterations.

    The ponder cost is to be added to the loss, times a small weight: :attr:`ponder_cost`.

    Args:
        num_iterations: The most iterations, one for all stages or one for each of the four. Default (3, 4, 23, 3); 1 is
            the paper's network of one iteration, without halting.
        epsilon: How much of the sum of halting probabilities may be missing. Default 0.01.
        width: Factor of all channels. Default 1.
        kwargs: Those of :class:`~kaizen_mm.models.comparators.base.ImageNetwork`.

    Attributes:
        ponder_cost: Mean over images of the sum over stages of ``N + R`` of the last forward pass, a scalar with
            gradient; None before.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    feature_modules = ('stem', 'stages.0', 'stages.1', 'stages.2', 'stages.3')
    ponder_cost: Optional[Tensor]

    def __init__(
        self,
        num_iterations: Union[int, Sequence[int]] = (3, 4, 23, 3),
        epsilon: float = 0.01,
        width: float = 1.0,
        **kwargs,
    ):
        if isinstance(num_iterations, (tuple, list)):
            iterations = check_shape('num_iterations', num_iterations, 'one per stage', length=4)
        else:
            check_int('num_iterations', num_iterations)
            iterations = (num_iterations,) * 4  # type: ignore[assignment]
        check_number('epsilon', epsilon, 0, 1)
        stem, *widths = scaled((64, 256, 512, 1024, 2048), width)
        super().__init__(widths[-1], smallest=32, **kwargs)
        self.iterations, self.widths = iterations, widths
        self.stem = resnet_stem(self.in_chans, stem)
        self.stages = nn.ModuleList(
            AdaptiveStage(channels, count, epsilon) for channels, count in zip(widths, iterations)
        )
        self.describe_stages((stem, *widths), (4, 4, 8, 16, 32))
        self.apply(init_weights)
        self.ponder_cost = None

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, 'ponder_cost': None}  # it is of one pass, and with its gradient it cannot be copied

    @property
    def num_iterations(self) -> int:
        """How many iterates it gives: the most iterations of the last stage."""
        return self.iterations[-1]

    def forward_stages(self, x: Tensor, last: int) -> Tuple[List[Tensor], List[Tensor]]:
        maps = [self.stem(x)]
        iterates = maps[:]
        costs = maps[:0]
        for index, stage in enumerate(self.stages):
            if index < last:
                state = maps[-1] if index == 0 else F.avg_pool2d(maps[-1], 2, ceil_mode=True)
                iterates, cost = stage(state)
                maps.append(iterates[-1])
                costs.append(cost)
        if not torch.jit.is_scripting():  # a graph of one tensor has no place for it
            if costs and isinstance(x, Tensor) and not is_exporting():
                self.ponder_cost = torch.stack(costs).sum(dim=0).mean()
        return maps, iterates
