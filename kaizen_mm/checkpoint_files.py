"""Checkpoint files: read with their checksums, and without running anything.

torch's files are zip archives: every tensor has a CRC-32 there, which :func:`torch.load` does not look at.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Union

import torch

from kaizen_mm.extras import naming_extras
from kaizen_mm.weights import read_weights

_REMEDY = 'use an earlier checkpoint, or get this one anew from where it came from'


def read_checkpoint(path: Union[str, Path], map_location='cpu') -> Any:
    """:func:`torch.load` with ``weights_only=True`` of a file whose checksums are right.

    Args:
        path: The file; of ``.safetensors``, which have no checksums, the weights by name, or a checkpoint of those that
            the package brings, see :func:`kaizen_mm.weights.read_weights`.
        map_location: As of :func:`torch.load`. Default ``'cpu'``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, cut off or no checkpoint, or it holds pickled code (nothing of it was run) or
            no mapping. The message names the file and what to do.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint file {path}')
    if path.suffix == '.safetensors':
        return _read_safetensors(path, map_location)
    verify_checkpoint(path)
    checkpoint = load_unverified(path, map_location)
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f'checkpoint {path} holds a {type(checkpoint).__name__}, not weights by name; {_REMEDY}')
    return checkpoint


def _read_safetensors(path: Path, map_location) -> Dict[str, Any]:
    with naming_extras():
        from safetensors import safe_open
    try:
        with safe_open(path, framework='pt') as file:
            released = 'card' in (file.metadata() or {})
            weights = {} if released else {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # of the library's own type
        _reraise_of_system(error)
        raise ValueError(f'checkpoint {path} is damaged or no safetensors ({_short(error)}); {_REMEDY}') from error
    if released:
        return read_weights(str(path)).checkpoint(map_location or 'cpu')
    return {name: value.to(map_location or 'cpu') for name, value in weights.items()}


def verify_checkpoint(path: Union[str, Path]) -> None:
    """Compares every member of the archive with its checksum; files of torch's old format have none.

    Raises:
        ValueError: The file is damaged or cut off; it is named.
    """
    path = Path(path)
    with path.open('rb') as file:
        start = file.read(4)
    if start != b'PK\3\4' and not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # whatever the garbage makes of zipfile: five types of error were seen
        _reraise_of_system(error)
        raise ValueError(f'checkpoint {path} is cut off or damaged ({_short(error)}); {_REMEDY}') from error
    if damaged or start != b'PK\3\4':
        raise ValueError(f'checkpoint {path} is damaged: {damaged or "its start"} is not what was written; {_REMEDY}')


def load_unverified(path: Path, map_location='cpu', **kwargs) -> Any:
    """:func:`read_checkpoint` of a file that is there, without a look at its checksums."""
    try:
        # not torch.load, which compat.py replaces by this function while others' loaders run
        return torch.serialization.load(path, map_location=map_location, weights_only=True, **kwargs)
    except pickle.UnpicklingError as error:  # torch advises weights_only=False; its context says what was found
        reason = (
            'it holds pickled objects other than tensors and plain values'
            if zipfile.is_zipfile(path)
            else 'it is damaged or no checkpoint, or it holds pickled objects other than tensors and plain values'
        )
        raise ValueError(
            f'checkpoint {path} is refused: {reason}. Nothing of it was run; if you trust where it came '
            f'from, save its state dict alone. {_short(error.__context__ or error)}'
        ) from error
    except Exception as error:  # damaged pickles give errors of many types
        _reraise_of_system(error)
        raise ValueError(
            f'checkpoint {path} cannot be read: it is damaged or no checkpoint ({_short(error)}); {_REMEDY}'
        ) from error


def _reraise_of_system(error: Exception) -> None:
    """Errors that the file's content has no part in."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or getattr(error, 'filename', None):
        raise error


def _short(error: Exception) -> str:
    lines = str(error).splitlines() or ['']
    return f'{type(error).__name__}: {lines[0][:300]}'


def not_finite(state_dict: Dict[str, torch.Tensor]) -> List[str]:
    """The names of tensors with NaN or +inf among their values; -inf may be that of a mask."""
    return [
        name
        for name, value in state_dict.items()
        if torch.is_tensor(value) and value.is_floating_point() and (value.isnan() | value.isposinf()).any()
    ]
