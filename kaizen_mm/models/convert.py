"""Published checkpoints, under our names."""
from typing import Dict, Mapping

from torch import Tensor


def without_prefix(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Without the ``module.`` that data-parallel training puts before names, as in the releases of MFNet."""
    return {name[len('module.'):] if name.startswith('module.') else name: value for name, value in state_dict.items()}


def released_resnet20(state_dict: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The CIFAR-10 ResNet-20 that Battash & Wolf released.

    For :class:`~kaizen_mm.models.CifarResNet` with block ``layer3.2`` made recurrent (``configs/
    kaizen_resnet20_cifar10.py`` has all of its settings). There the last stage's blocks are called ``block1`` to
    ``block3``, ``W_1`` of the dynamic convolution is a parameter ``w`` of the network while that
    convolution's own weight is not used, and ``h`` is a linear layer of the block.

    Raises:
        ValueError: A name that such a checkpoint has is missing.
    """
    source = without_prefix(state_dict)
    unused, h = 'layer3.block3.conv1.weight', 'layer3.block3.block3_conv1_create_dy_w'
    missing = [name for name in ('w', f'{h}.weight', f'{h}.bias', 'linear.weight') if name not in source]
    if missing:
        raise ValueError(f'state_dict is none of the released ResNet-20: {missing} are missing; it has '
                         f'{sorted(source)[:5]}, ...')
    converted = {}
    for name, value in source.items():
        if name == unused:
            continue
        name = name.replace(h, 'layer3.2.adapter.linears.0')
        for number in (1, 2, 3):
            name = name.replace(f'layer3.block{number}.', f'layer3.{number - 1}.')
        converted['layer3.2.conv1.weight' if name == 'w' else name] = value
    return converted


CONVERTERS = {'mfnet': without_prefix, 'resnet20': released_resnet20}
