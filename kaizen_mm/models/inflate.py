"""2D weights to 3D weights.

A 2D kernel is repeated along time and divided by its length there, so that a video of one
repeated frame gives what the image gives (Carreira & Zisserman, arXiv:1705.07750, section 2.4).
"""

from typing import Dict, Mapping

from torch import Tensor


def inflate_state_dict(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The entries of ``source`` that ``target`` has, inflated to its shapes.

    Args:
        source: State dict of the 2D network; ``module.`` before names is dropped.
        target: State dict of the 3D network.

    Raises:
        ValueError: No name in common, or a shape that cannot be inflated to the target's.
    """
    inflated = {}
    for name, weight in source.items():
        name = name[len('module.') :] if name.startswith('module.') else name
        if name not in target:
            continue
        shape, given = target[name].shape, tuple(weight.shape)
        if weight.dim() == 4 and len(shape) == 5:
            weight = weight.unsqueeze(2).repeat(1, 1, shape[2], 1, 1) / shape[2]
        if weight.shape != shape:
            raise ValueError(
                f'{name} has shape {given} and cannot be inflated to '
                f'{tuple(shape)}; for 3D weights set pretrained2d=False'
            )
        inflated[name] = weight
    if not inflated:
        raise ValueError(
            f'no name in common: the checkpoint has {sorted(source)[:3]}, ..., the network {sorted(target)[:3]}, ...'
        )
    return inflated
