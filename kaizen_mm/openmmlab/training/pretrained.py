"""Weights that a config has its network loaded from: ``init_cfg`` and ``pretrained``."""

from contextlib import contextmanager
from typing import Iterator, Tuple

from torch import nn


def loads_weights(model: nn.Module) -> bool:
    """Whether a part of a network loads weights of a file when it is initialized."""
    return any(True for _ in _entries(model)) or any(
        isinstance(getattr(module, 'pretrained', None), str) for module in model.modules()
    )


def without_weights_for(model: nn.Module) -> str:
    """What ``init_cfg`` of a network was to load, for an error about layers that it had nothing for."""
    return ''.join(
        f'init_cfg of {name} names {entry.get("checkpoint")}: it has no weights for them{_under(entry)}, or '
        f'{type(module).__name__} does not read its init_cfg. '
        for name, module, entry in _entries(model)
    )


@contextmanager
def naming_prefixes(model: nn.Module) -> Iterator[None]:
    """A prefix that no weight of a file has is an error by name; mmengine 0.10.7 asserts that there is one.

    Raises:
        ValueError: There is none.
    """
    try:
        yield
    except AssertionError as error:
        if 'is not in the pretrained model' not in str(error):
            raise
        wanted = str(error).partition(' is not in')[0].rstrip('.')
        named = [
            f'{name}.init_cfg: {entry.get("checkpoint")} has no weights{_under(entry)}'
            for name, _, entry in _entries(model)
            if str(entry.get('prefix')).rstrip('.') == wanted
        ]
        raise ValueError(
            f'{"; ".join(named) or error}; prefix must be what stands before the names of these weights, such as '
            "'backbone.' in a checkpoint of a training. Leave it out where nothing does"
        ) from error


@contextmanager
def naming_addresses(name: str) -> Iterator[None]:
    """Weights at an address that is out of reach are an error that says what to give in its place.

    Raises:
        OSError: They cannot be read.
    """
    try:
        yield
    except OSError as error:
        if '://' not in name:
            raise
        raise OSError(
            f'load_from: {name} cannot be read ({getattr(error, "reason", error)}). Give a file of these weights in '
            'place of the address (kaizen-new: --weights FILE), or None for a start without weights'
        ) from error


def _under(entry: dict) -> str:
    return f' under the prefix {entry["prefix"]!r}' if entry.get('prefix') else ''


def _entries(model: nn.Module) -> Iterator[Tuple[str, nn.Module, dict]]:
    """Name and module of each part of a network that has an ``init_cfg`` with weights of a file, and that entry."""
    for name, module in model.named_modules():
        given = getattr(module, 'init_cfg', None)
        for entry in given if isinstance(given, (list, tuple)) else [given]:
            if isinstance(entry, dict) and entry.get('type') == 'Pretrained':
                yield '.'.join(part for part in name.split('.') if part != 'wrapped') or 'the model', module, entry
