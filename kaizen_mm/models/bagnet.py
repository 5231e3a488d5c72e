"""A network of small receptive field, which sees an image or a clip as a bag of patches.

Brendel & Bethge, arXiv:1904.00760, replace most 3x3 convolutions of a residual network by 1x1 convolutions. Then each
position of the last map has seen a small patch of the input alone. The scores of the classes are the mean of those of
the patches. This is a small one, for images and for clips. What lies far apart meets nowhere in it, until a feedback
map that is pooled over all positions changes its weights.
"""

from typing import List, Optional, Sequence

from torch import Tensor, nn

from kaizen_mm.arguments import check_int, check_shape
from kaizen_mm.models.channel_affine import ChannelAffine

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class BagBlock(nn.Module):
    """A convolution of ``kernel`` and one of points, each with batch norm, and a shortcut; all of what ``context``
    makes of the input, where there is one. With ``modulated`` a scale and a shift of each channel, which ``h`` can
    rewrite, follow each batch norm."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        channels: int,
        kernel: int,
        stride: int,
        context: Optional[nn.Module] = None,
        modulated: bool = False,
    ):
        super().__init__()
        self.context = context
        conv, norm = _CONV[dims], _NORM[dims]
        self.conv1 = conv(in_channels, channels, kernel, stride, kernel // 2, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = conv(channels, channels, 1, bias=False)
        self.bn2 = norm(channels)
        self.affine1, self.affine2 = (ChannelAffine(dims, channels) if modulated else nn.Identity() for _ in (1, 2))
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != channels:
            self.shortcut = nn.Sequential(conv(in_channels, channels, 1, stride, bias=False), norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.context is not None:
            x = self.context(x)
        z = self.affine1(self.bn1(self.conv1(x)))
        z = self.affine2(self.bn2(self.conv2(self.relu(z))))
        return self.relu(z + self.shortcut(x))


class BagNet(nn.Module):
    """A residual network of small receptive field.

    A convolution, then residual blocks ``block1``, ``block2``, ... of a convolution ``conv1`` and one of points
    ``conv2`` each, the mean over all positions, and a linear layer. The defaults see patches of 4 x 4 pixels, which do
    not overlap: with three channels and ten classes 6,282 parameters.

    Args:
        dims: 2 (default) for images ``[N, C, H, W]``, 3 for clips ``[N, C, T, H, W]``.
        in_chans: Channels of the input. Default 3.
        num_classes: 0 builds no classifier, and the result is the last map. Default 10.
        stem: Channels, kernel and stride of the first convolution, kernel and stride in pixels and frames.
            An odd kernel is padded by half of it, an even one not at all. Default (32, 4, 4).
        widths: Channels of the blocks. Default (32, 32).
        kernels: Of the blocks' first convolutions, odd. Default 1 for each.
        strides: Of the blocks. Default 1 for each.
        contexts: For each block a module through which its input goes first, such as those of
            :mod:`kaizen_mm.models.contexts`, or None. Default None for each.
        modulated: Whether a :class:`~kaizen_mm.models.channel_affine.ChannelAffine` follows each batch norm of the
            blocks: ``affine1`` and ``affine2``. Default False.

    Shape:
        ``[N, C, *spatial] -> [N, num_classes]``, or ``[N, widths[-1], *smaller]``.

    Raises:
        ValueError: An argument that cannot be used, named with what would be accepted.
    """

    def __init__(
        self,
        dims: int = 2,
        in_chans: int = 3,
        num_classes: int = 10,
        stem: Sequence[int] = (32, 4, 4),
        widths: Sequence[int] = (32, 32),
        kernels: Sequence[int] = (),
        strides: Sequence[int] = (),
        contexts: Sequence[Optional[nn.Module]] = (),
        modulated: bool = False,
    ):
        super().__init__()
        check_int('dims', dims, 2, 3)
        check_int('in_chans', in_chans)
        check_int('num_classes', num_classes, 0)
        channels, kernel, stride = check_shape('stem', stem, 'channels, kernel and stride', length=3)
        widths = check_shape('widths', widths, 'channels of the blocks')
        kernels = check_shape('kernels', kernels or [1] * len(widths), 'one for each block', length=len(widths))
        strides = check_shape('strides', strides or [1] * len(widths), 'one for each block', length=len(widths))
        if any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f'kernels must be odd, got {kernels!r}')
        if contexts in ((), []):
            contexts = [None] * len(widths)
        if (
            not isinstance(contexts, (tuple, list))
            or len(contexts) != len(widths)
            or not all(context is None or isinstance(context, nn.Module) for context in contexts)
        ):
            raise ValueError(f'contexts must be {len(widths)} modules or None, one for each block, got {contexts!r}')
        self.num_classes, self.num_features = num_classes, widths[-1]
        self.receptive_field, step = kernel, stride  # of one position of the last map, in pixels and frames
        self.conv1 = _CONV[dims](in_chans, channels, kernel, stride, kernel // 2 if kernel % 2 else 0, bias=False)
        self.bn1 = _NORM[dims](channels)
        self.relu = nn.ReLU()
        self.block_names: List[str] = []
        blocks = zip(widths, kernels, strides, contexts)
        for index, (width, kernel, stride, context) in enumerate(blocks, start=1):
            self.block_names.append(f'block{index}')
            self.add_module(f'block{index}', BagBlock(dims, channels, width, kernel, stride, context, modulated))
            self.receptive_field += (kernel - 1) * step
            channels, step = width, step * stride
        self.linear = _classifier(channels, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map ``[N, widths[-1], *smaller]``."""
        x = self.relu(self.bn1(self.conv1(x)))
        for name in self.block_names:
            x = self.get_submodule(name)(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The mean over positions, and the classifier unless ``pre_logits``: ``[N, C, *spatial] -> [N, classes]``."""
        x = x.flatten(2).mean(dim=2)
        return x if pre_logits else self.linear(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.forward_features(x)
        return self.forward_head(x) if self.num_classes else x

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.linear

    def reset_classifier(self, num_classes: int) -> None:
        """Puts a fresh classifier in place; with ``num_classes`` 0 the result is the last map."""
        check_int('num_classes', num_classes, 0)
        like = next(self.parameters())
        self.num_classes = num_classes
        self.linear = _classifier(self.num_features, num_classes).to(like.device, like.dtype)


def _classifier(channels: int, num_classes: int) -> nn.Module:
    return nn.Linear(channels, num_classes) if num_classes else nn.Identity()
