"""The weights that the package brings, by name: ``kaizen_mm::kaizen_bagnet_cifar10``.

Each is a file of safetensors beside this one, with a model card, ``NAME.md``, that says how it was trained and how well
it does. The names of the tensors are those of the config's model; what the file tells of itself is in its header.
"""

import difflib
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import torch

from kaizen_mm.extras import naming_extras

PREFIX = 'kaizen_mm::'
FOLDER = Path(__file__).resolve().parent
FORMAT = '1'


class Weights(NamedTuple):
    """``state_dict`` has the names of the config's model; ``card`` has ``config`` (name of the config), ``classes``,
    ``num_iterations``, ``seed``, ``epochs``, ``test_top1`` (of every iterate, in percent), ``license``."""

    state_dict: Dict[str, torch.Tensor]
    card: Dict[str, Any]

    def checkpoint(self, map_location='cpu') -> Dict[str, Any]:
        """The same as a checkpoint of OpenMMLab, whose ``meta`` has the names of the classes and ``num_iterations``.

        Args:
            map_location: Where the weights are put. Default ``'cpu'``.
        """
        meta = dict(dataset_meta=dict(classes=tuple(self.card['classes'])), num_iterations=self.card['num_iterations'])
        return dict(state_dict={name: value.to(map_location) for name, value in self.state_dict.items()}, meta=meta)


_HEADS = ('head.fc.', 'cls_head.fc_cls.')


def network_names(state_dict: Dict[str, torch.Tensor]) -> Dict[str, torch.Tensor]:
    """Weights under the names of the network alone, whose classifier is ``linear``; what has no names of a config's
    model stays as it is."""
    if not any(name.startswith('backbone.') for name in state_dict):
        return dict(state_dict)
    renamed = {}
    for name, value in state_dict.items():
        head = next((head for head in _HEADS if name.startswith(head)), None)
        renamed[f'linear.{name[len(head) :]}' if head else name.removeprefix('backbone.')] = value
    return renamed


def weights_names() -> List[str]:
    """The names of all weights, sorted."""
    return sorted(path.stem for path in FOLDER.glob('*.safetensors'))


def weights_file(name: str) -> Path:
    """The file of some weights.

    Args:
        name: With or without ``kaizen_mm::`` before it.

    Raises:
        FileNotFoundError: There are none of that name.
    """
    stem = name.removeprefix(PREFIX)
    if stem not in weights_names():
        near = difflib.get_close_matches(stem, weights_names(), n=3)
        found = f'near it: {", ".join(near)}' if near else f'there are {", ".join(weights_names())}'
        raise FileNotFoundError(f'kaizen_mm has no weights {stem!r}; {found}')
    return FOLDER / f'{stem}.safetensors'


def read_weights(name: str) -> Weights:
    """Weights by name, or those of a file that :func:`write_weights` wrote.

    Raises:
        FileNotFoundError: There are none of that name, or no such file.
        ValueError: The file is damaged, or of another version of the format.
    """
    path = Path(name) if name.endswith('.safetensors') else weights_file(name)
    if not path.is_file():
        raise FileNotFoundError(f'no weights file {path}')
    with naming_extras():
        from safetensors import safe_open
    try:
        with safe_open(str(path), framework='pt') as file:
            card = file.metadata() or {}
            state_dict = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping
    except Exception as error:  # of the library's own type
        raise ValueError(f'weights {path} are damaged or no safetensors: {error}') from error
    if card.get('format') != FORMAT:
        raise ValueError(
            f'weights {path} must be of format {FORMAT}, got {card.get("format")!r}: they were written by another '
            'version of kaizen_mm, or by another program'
        )
    return Weights(state_dict, json.loads(card['card']))
