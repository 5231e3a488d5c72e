"""Published checkpoints, under our names."""

import re
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence

from torch import Tensor

_MFNET_NAMES = re.compile(
    r'(conv1\.(conv|bn)|conv[2-5]\.B\d\d\.conv_(i1|i2|m1|m2|w1)\.(conv|bn)|tail\.bn|classifier)\.\w+'
)
_CIFAR_NAMES = re.compile(r'(conv1|bn1|layer[123]\.\d+\.(conv|bn)[12]|linear)\.\w+')
_RELEASED_H = 'layer3.block3.block3_conv1_create_dy_w'


def without_prefix(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Without the ``module.`` that data-parallel training puts before names, as in the releases of MFNet."""
    return {name[len('module.') :] if name.startswith('module.') else name: value for name, value in state_dict.items()}


def released_mfnet(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """An MFNet, 2D or 3D, of the original release; for :class:`~kaizen_mm.models.MFNet`.

    Raises:
        ValueError: A name that such a checkpoint has is missing, or it has one that none of them has.
    """
    return _checked('mfnet', state_dict)


def base_resnet20(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The plain CIFAR-10 ResNet-20 that Battash & Wolf started from (``resnet20-12fca82f.th``), or one of another
    depth.

    For :class:`~kaizen_mm.models.CifarResNet`: phase one of ``configs/kaizen_resnet20_cifar10.py``.

    Raises:
        ValueError: As of :func:`released_mfnet`.
    """
    return _checked('resnet20_base', state_dict)


def released_resnet20(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The CIFAR-10 ResNet-20 that Battash & Wolf released.

    For :class:`~kaizen_mm.models.CifarResNet` with block ``layer3.2`` made recurrent (``configs/
    kaizen_resnet20_cifar10.py`` has all of its settings). There the last stage's blocks are called ``block1`` to
    ``block3``. ``W_1`` of the dynamic convolution is a parameter ``w`` of the network, and that convolution's own
    weight is not used. ``h`` is a linear layer of the block.

    Raises:
        ValueError: A name that such a checkpoint has is missing.
    """
    source = _checked('resnet20', state_dict)
    converted = {}
    for name, value in source.items():
        if name == 'layer3.block3.conv1.weight':
            continue
        name = name.replace(_RELEASED_H, 'layer3.2.adapter.linears.0')
        for number in (1, 2, 3):
            name = name.replace(f'layer3.block{number}.', f'layer3.{number - 1}.')
        converted['layer3.2.conv1.weight' if name == 'w' else name] = value
    return converted


class Release(NamedTuple):
    """A kind of published checkpoint.

    ``title``: what it is; ``convert``: to our names; ``needs``: names that it has; ``names``: what all of its names
    match, None where that is not known; ``prefix``: what ``tools/convert_checkpoint.py`` is to put before them for
    ``load_from`` of a config, None where it does not fit there.
    """

    title: str
    convert: Callable[[Mapping[str, Tensor]], Dict[str, Tensor]]
    needs: Sequence[str]
    names: Optional[re.Pattern] = None
    prefix: Optional[str] = None


RELEASES = {
    'mfnet': Release(
        'MFNet of the original release',
        released_mfnet,
        ('conv1.conv.weight', 'conv5.B01.conv_i1.conv.weight', 'tail.bn.weight'),
        _MFNET_NAMES,
    ),
    'resnet20': Release(
        "the paper's authors' CIFAR-10 ResNet-20",
        released_resnet20,
        ('w', f'{_RELEASED_H}.weight', f'{_RELEASED_H}.bias', 'linear.weight'),
        prefix='backbone.',
    ),
    'resnet20_base': Release(
        "the plain CIFAR-10 ResNet-20 that the paper's authors started from",
        base_resnet20,
        ('conv1.weight', 'layer1.0.conv1.weight', 'layer3.0.conv2.weight', 'linear.weight'),
        _CIFAR_NAMES,
        prefix='backbone.',
    ),
}


def release_of(state_dict: Mapping[str, Tensor]) -> Optional[str]:
    """The kind of published checkpoint that a state dict is of, a key of :data:`RELEASES`; None for any other."""
    source = without_prefix(state_dict)
    for kind, release in RELEASES.items():
        if all(name in source for name in release.needs) and not _foreign(release, source):
            return kind
    return None


def _checked(kind: str, state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    release, source = RELEASES[kind], without_prefix(state_dict)
    missing, foreign = [name for name in release.needs if name not in source], _foreign(release, source)
    if missing or foreign:
        other = release_of(state_dict)
        wrong = f'{missing} are missing' if missing else f'it has {foreign[:3]}, which none of them has'
        raise ValueError(
            f'the checkpoint is none of {kind} ({release.title}): {wrong}. '
            + (f'It is one of {other} ({RELEASES[other].title})' if other else f'Its names: {sorted(source)[:5]}, ...')
        )
    return source


def _foreign(release: Release, names) -> list:
    return [] if release.names is None else [name for name in names if not release.names.fullmatch(name)]
