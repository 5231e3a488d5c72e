"""Checkpoints whose weights have the names of a network alone, as those of timm and torchvision have.

``conv1.weight`` is ``backbone.conv1.weight`` of a recognizer or classifier, and the classifier is in its head.
"""

from collections import Counter
from typing import Dict, MutableMapping, Optional

from torch import Tensor, nn

HEADS = ('cls_head.', 'head.')


def rename_for(model: nn.Module, state_dict: MutableMapping[str, Tensor]) -> Optional[str]:
    """Gives the weights of a network alone, in place, the names that they have in a model of OpenMMLab.

    The part of the model is the one in which most weights have their name and shape. What is left of the weights is
    its classifier where that is one linear layer.

    Args:
        model: A recognizer or classifier.
        state_dict: Of the checkpoint; left as it is where one of its names is the model's, or no part fits.

    Returns:
        What was renamed, for the log; None where nothing was.
    """
    own = model.state_dict()
    if not state_dict or any(name in own for name in state_dict):
        return None
    fitting = Counter(
        place[: -len(name)]
        for name, value in state_dict.items()
        for place in own
        if place.endswith(f'.{name}') and not place.startswith(HEADS) and own[place].shape == value.shape
    )
    if not fitting:
        return None
    prefix = fitting.most_common(1)[0][0]
    names = {name: prefix + name for name in state_dict if prefix + name in own}
    if 2 * len(names) < len(state_dict):  # of another architecture
        return None
    names.update(_classifier({name: value for name, value in state_dict.items() if name not in names}, own))
    for name, place in names.items():
        state_dict[place] = state_dict.pop(name)
    heads = sorted(name for name, place in names.items() if place.startswith(HEADS))
    classifier = f', its classifier ({", ".join(heads)}) that of the head' if heads else ''
    return f'The checkpoint has the names of a network alone: its weights are those of {prefix}*{classifier}'


def _classifier(left: Dict[str, Tensor], own: Dict[str, Tensor]) -> Dict[str, str]:
    """The names in the head of the one linear layer that is left."""
    theirs, ours = (
        [name for name, value in weights.items() if name.endswith('.weight') and value.dim() == 2 and right(name)]
        for weights, right in ((left, lambda name: True), (own, lambda name: name.startswith(HEADS)))
    )
    if len(theirs) != 1 or len(ours) != 1 or left[theirs[0]].shape[1] != own[ours[0]].shape[1]:
        return {}
    parts = (
        (f'{theirs[0].removesuffix("weight")}{part}', f'{ours[0].removesuffix("weight")}{part}')
        for part in ('weight', 'bias')
    )
    return {name: place for name, place in parts if name in left and place in own}
