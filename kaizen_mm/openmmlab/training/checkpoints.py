"""The checkpoints of a work folder, and the newest whole one of them."""

import logging
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple, Union

from mmengine.logging import print_log

from kaizen_mm.checkpoint_files import load_unverified, not_finite, read_checkpoint

SUFFIXES = ('.pth', '.pt', '.ckpt')
_NEEDED = ('meta', 'state_dict', 'message_hub', 'optimizer')


def newest_whole_checkpoint(
    folder: Union[str, Path],
    accept: Optional[Callable[[dict], Optional[str]]] = None,
    announce: Optional[Callable[[str], None]] = None,
) -> Optional[Path]:
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
    for path in checkpoints_in(folder):
        try:
            checkpoint = load_unverified(path, mmap=zipfile.is_zipfile(path))  # without reading its tensors
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
        raise ValueError(
            f'no checkpoint in {folder} can be resumed from: {"; ".join(damaged)}. Put a whole one there, or '
            'move these away to start from the beginning'
        )
    if newest is None and named is not None and not refused:
        raise ValueError(
            f'{folder / "last_checkpoint"} is there, but no checkpoint: put the checkpoints back, or '
            'remove last_checkpoint to start from the beginning'
        )
    for reason in damaged + refused:
        announce(f'passed over: {reason}')
    if newest is not None and named != newest.name:
        announce(
            f'{folder / "last_checkpoint"} '
            + ('is missing' if named is None else f'says {named!r}')
            + f'; the newest whole checkpoint is {newest}'
        )
    return newest


def checkpoints_in(folder: Path) -> List[Path]:
    """The checkpoint files in a folder, whole or not, by name, with what its ``last_checkpoint`` says."""
    named = _named_last(folder)
    return [
        path
        for path in sorted(folder.glob('*'))
        if path.is_file() and not path.name.startswith('.') and (path.suffix in SUFFIXES or path.name == named)
    ]


def _named_last(folder: Path) -> Optional[str]:
    """The file name in ``last_checkpoint``; None where there is no such file."""
    try:
        text = (folder / 'last_checkpoint').read_text(encoding='utf-8', errors='replace').strip()
    except FileNotFoundError:
        return None
    return text.splitlines()[0].rsplit('/', 1)[-1][:200] if text else ''


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
