"""Checkpoint files: read and verified, and the newest whole one of a work folder.

torch's files are zip archives: every tensor has a CRC-32 there, which :func:`torch.load` does not look at.
"""
import logging
import pickle
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import torch
from mmengine.logging import print_log

SUFFIXES = ('.pth', '.pt', '.ckpt')
_REMEDY = 'use an earlier checkpoint, or get this one anew from where it came from'
_NEEDED = ('meta', 'state_dict', 'message_hub', 'optimizer')


def read_checkpoint(path: Union[str, Path], map_location='cpu') -> Any:
    """:func:`torch.load` with ``weights_only=True`` of a file whose checksums are right.

    Args:
        path: The file.
        map_location: As of :func:`torch.load`. Default ``'cpu'``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, cut off or no checkpoint, or it holds pickled code; nothing of it was run.
            The message names the file and what to do.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'no checkpoint file {path}')
    _verify(path)
    return _load(path, map_location)


def _verify(path: Path) -> None:
    """Compares every member of the archive with its checksum; files of torch's old format have none."""
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


def _load(path: Path, map_location, **kwargs) -> Any:
    try:
        # not torch.load, which compat.py replaces by this function while others' loaders run
        return torch.serialization.load(path, map_location=map_location, weights_only=True, **kwargs)
    except pickle.UnpicklingError as error:  # torch advises weights_only=False; its context says what was found
        reason = ('it holds pickled objects other than tensors and plain values' if zipfile.is_zipfile(path) else
                  'it is damaged or no checkpoint, or it holds pickled objects other than tensors and plain values')
        raise ValueError(f'checkpoint {path} is refused: {reason}. Nothing of it was run; if you trust where it came '
                         f'from, save its state dict alone. {_short(error.__context__ or error)}') from error
    except Exception as error:  # damaged pickles give errors of many types
        _reraise_of_system(error)
        raise ValueError(f'checkpoint {path} cannot be read: it is damaged or no checkpoint ({_short(error)}); '
                         f'{_REMEDY}') from error


def _reraise_of_system(error: Exception) -> None:
    """Errors that the file's content has no part in."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or getattr(error, 'filename', None):
        raise error


def _short(error: Exception) -> str:
    lines = str(error).splitlines() or ['']
    return f'{type(error).__name__}: {lines[0][:300]}'


def not_finite(state_dict: Dict[str, torch.Tensor]) -> List[str]:
    """The names of tensors with NaN or +inf among their values; -inf may be that of a mask."""
    return [name for name, value in state_dict.items() if torch.is_tensor(value) and value.is_floating_point()
            and (value.isnan() | value.isposinf()).any()]


def newest_whole_checkpoint(folder: Union[str, Path], accept: Optional[Callable[[dict], Optional[str]]] = None,
                            announce: Optional[Callable[[str], None]] = None) -> Optional[Path]:
    """The newest checkpoint of a work folder from which training can go on as if uninterrupted.

    All checkpoints of the folder itself are looked at, whatever its ``last_checkpoint`` says; the newest is
    the one saved last by its own record, which copying does not change.

    Args:
        folder: The folder; it need not exist.
        accept: Called with each checkpoint, whose tensors may be damaged yet; returns the reason to pass it over, or
            None. Default: none is passed over for what it is.
        announce: Called with a line of text for each file that is passed over, with the reason. Default: the
            current log, as a warning.

    Returns:
        None where there are no checkpoints, or all whole ones were passed over by ``accept``.

    Raises:
        ValueError: There are checkpoints, but none is whole; or ``last_checkpoint`` says that there were some.
    """
    folder, announce = Path(folder), announce or partial(print_log, logger='current', level=logging.WARNING)
    named = _named_last(folder)
    candidates, refused, damaged = [], [], []
    for path in _checkpoints(folder, named):
        try:
            checkpoint = _load(path, 'cpu', mmap=zipfile.is_zipfile(path))  # without reading its tensors
        except ValueError as error:
            damaged.append(str(error))
            continue
        saved = _saved(checkpoint)
        reason = accept(checkpoint) if saved and accept else None
        if saved is None:  # such as mmengine's best one, which is for testing
            damaged.append(f'checkpoint {path} is no whole state of a training')
        elif reason:
            refused.append(f'checkpoint {path} {reason}')
        else:
            candidates.append((saved, path))
    newest = None
    for _, path in sorted(candidates, reverse=True):
        reason = _damage(path)
        if reason is None:
            newest = path
            break
        damaged.append(reason)
    if newest is None and damaged:
        raise ValueError(f'no checkpoint in {folder} can be resumed from: {"; ".join(damaged)}. Put a whole one there, or '
                         'move these away to start from the beginning')
    if newest is None and named is not None and not refused:
        raise ValueError(f'{folder / "last_checkpoint"} is there, but no checkpoint: put the checkpoints back, or '
                         'remove last_checkpoint to start from the beginning')
    for reason in damaged + refused:
        announce(f'passed over: {reason}')
    if newest is not None and named != newest.name:
        announce(f'{folder / "last_checkpoint"} ' + ('is missing' if named is None else f'says {named!r}')
                 + f'; the newest whole checkpoint is {newest}')
    return newest


def _checkpoints(folder: Path, named: Optional[str]) -> List[Path]:
    return [path for path in sorted(folder.glob('*')) if path.is_file() and not path.name.startswith('.')
            and (path.suffix in SUFFIXES or path.name == named)]


def _named_last(folder: Path) -> Optional[str]:
    """The file name in ``last_checkpoint``; None where there is no such file."""
    try:
        text = (folder / 'last_checkpoint').read_text(encoding='utf-8', errors='replace').strip()
    except FileNotFoundError:
        return None
    return text.splitlines()[0][:100].rsplit('/')[-1] if text else ''


def _saved(checkpoint: Any) -> Optional[Tuple[str, int]]:
    """Time and iteration at which a checkpoint was saved; None where it is no whole state of a training."""
    if not isinstance(checkpoint, dict) or not all(isinstance(checkpoint.get(key), dict) for key in _NEEDED):
        return None
    time, iteration = (checkpoint['meta'].get(key) for key in ('time', 'iter'))
    return (time, iteration) if isinstance(time, str) and isinstance(iteration, int) else None


def _damage(path: Path) -> Optional[str]:
    """Why a training cannot go on from a checkpoint; None where it can."""
    try:
        diverged = not_finite(read_checkpoint(path)['state_dict'])
    except ValueError as error:
        return str(error)
    return f'checkpoint {path} is of a training that diverged: {diverged[:3]} are not finite' if diverged else None
