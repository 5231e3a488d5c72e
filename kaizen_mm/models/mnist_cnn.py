"""The small networks of the MNIST experiment.

Battash & Wolf, arXiv:1910.11105, section 4.1: two 5x5 convolutions, a fully connected layer that is made recurrent as a
whole (``f`` is the layer, ``g`` the identity, ``h`` one full layer 10 -> 480), and a fully connected classifier; no
biases. The enlarged baseline has five convolutions and two fully connected layers and as many parameters as the
recurrent network.
"""

from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from kaizen_mm.arguments import check_int, check_shape
from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.layers.adapters import adapter_kind, arguments_of
from kaizen_mm.layers.early_exit import BlockPasses, check_early_exit, exited
from kaizen_mm.layers.fast_weight_methods import FastWeightMethods


def _conv(in_channels: int, out_channels: int, padding: int = 0) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 5, padding=padding, bias=False), nn.ReLU())


class MnistCNN(FastWeightMethods, nn.Module):
    """880 parameters; 5,680 with ``h``.

    Args:
        num_classes: Default 10.
        channels: Of the two convolutions. Default (3, 3).
        units: Of the fully connected layer. Default 10.
        num_iterations: None (default) for the plain network; ``K`` for one whose layer ``fc1`` runs K
            times. With 1 it is the plain one.
        adapter: Further arguments of :func:`~kaizen_mm.layers.build_adapter`. ``shared_rows``, which the
            paper's alone has, is False by default: a full layer.

    Shape:
        ``[N, 1, 28, 28] -> [N, num_classes]``, the last iterate's logits.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        num_classes: int = 10,
        num_iterations: Optional[int] = None,
        channels: Sequence[int] = (3, 3),
        units: int = 10,
        **adapter,
    ):
        super().__init__()
        check_int('num_classes', num_classes)
        first, second = check_shape('channels', channels, 'channels of the convolutions', length=2)
        check_int('units', units)
        self.num_classes = num_classes
        self.conv1, self.pool1 = _conv(1, first), nn.MaxPool2d(2)  # [N, first, 12, 12]
        self.conv2, self.pool2 = _conv(first, second), nn.MaxPool2d(2)  # [N, second, 4, 4]
        self.fc1: nn.Module = nn.Linear(16 * second, units, bias=False)
        self.fc2 = nn.Linear(units, num_classes, bias=False)
        if num_iterations is not None:
            if 'shared_rows' in arguments_of(adapter_kind(adapter.get('adapter', 'paper'))):
                adapter = {'shared_rows': False, **adapter}
            self.fc1 = AdaptiveRecurrentBlock(
                self.fc1,
                dynamic=[''],
                feedback_shape=(units,),
                num_iterations=num_iterations,
                **adapter,
            )
        elif adapter:
            raise ValueError(f'num_iterations must be given along with {sorted(adapter)}, got None')

    def _units(self, x: Tensor) -> Tensor:
        return self.pool2(self.conv2(self.pool1(self.conv1(x)))).flatten(1)

    @torch.no_grad()
    def early_exit(self, x: Tensor, threshold: float) -> Tuple[Tensor, Tensor]:
        """Samples whose iterate is confident leave the batch, see
        :meth:`~kaizen_mm.surgery.RecurrentNetwork.early_exit`."""
        check_early_exit(self, threshold)
        return exited(self.exit_passes(x), threshold)

    def exit_passes(self, x: Tensor, entries_per_sample: int = 1) -> BlockPasses:
        """The logits of the iterates one by one, for fewer and fewer samples: what :meth:`early_exit` runs.
        ``entries_per_sample`` is that of :class:`~kaizen_mm.surgery.RecurrentNetwork`."""
        return BlockPasses(self.fc1, self._units(x), lambda y, index: self.fc2(y.relu()))

    def forward_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The logits of every iterate; of a plain network a tuple of one."""
        z = self.fc1(self._units(x))
        return tuple(self.fc2(iterate.relu()) for iterate in (z if isinstance(z, tuple) else (z,)))

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_iterates(x)[-1]


class MnistCNNBig(nn.Module):
    """The enlarged baseline: 5,685 parameters (the paper's has 5,687; its sizes are not given).

    The network of :class:`MnistCNN` with five channels, three more convolutions and a wider ``fc1``.

    Args:
        num_classes: Default 10.

    Shape:
        ``[N, 1, 28, 28] -> [N, num_classes]``

    Raises:
        ValueError: ``num_classes`` is no int of at least 1.
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        check_int('num_classes', num_classes)
        self.num_classes = num_classes
        self.layers = nn.Sequential(
            _conv(1, 5),
            _conv(5, 5, padding=2),
            nn.MaxPool2d(2),  # [N, 5, 12, 12]
            _conv(5, 5),
            _conv(5, 5, padding=2),
            _conv(5, 5, padding=2),
            nn.MaxPool2d(2),  # [N, 5, 4, 4]
            nn.Flatten(),
            nn.Linear(80, 34, bias=False),
            nn.ReLU(),
            nn.Linear(34, num_classes, bias=False),
        )

    def forward_iterates(self, x: Tensor) -> Tuple[Tensor, ...]:
        """The logits, as a tuple of one."""
        return (self.layers(x),)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
