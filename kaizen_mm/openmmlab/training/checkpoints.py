"""The checkpoints of a work folder, and the newest whole one of them."""

import logging
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Tuple, Union

from mmengine.logging import print_log

from kaizen_mm.checkpoint_files import load_unverified, not_finite, read_checkpoint

SUFFIXES = ('.pth', '.pt', '.ckpt')
SETTINGS = 'training_settings'  # in a checkpoint's meta
_STATE = {'state_dict': dict, 'meta': dict, 'message_hub': dict, 'optimizer': dict, 'param_schedulers': (list, dict)}


def missing_state(checkpoint: Any, scheduled: bool = False) -> List[str]:
    """What a checkpoint lacks of the state that a training goes on from; mmengine starts most of it anew in silence.

    Args:
        checkpoint: What is in the file.
        scheduled: Whether the training has schedules of rates, where the checkpoint does not tell. Default False.
    """
    if not isinstance(checkpoint, Mapping):
        return ['state_dict']
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    settings = meta.get(SETTINGS)
    if isinstance(settings, dict):
        scheduled = any(key.startswith('param_scheduler') for key in settings)
    missing = [
        key
        for key, kind in _STATE.items()
        if not isinstance(checkpoint.get(key), kind) and (scheduled or key != 'param_schedulers')
    ]
    return missing + [
        f'meta.{key}' for key in ('epoch', 'iter') if 'meta' not in missing and not isinstance(meta.get(key), int)
    ]


def newest_whole_checkpoint(
    folder: Union[str, Path],
    accept: Optional[Callable[[dict], Optional[str]]] = None,
    announce: Optional[Callable[[str], None]] = None,
) -> Optional[Path]:
    """The newest checkpoint of a work folder from which training can go on as if uninterrupted.

    All checkpoints of the folder itself are looked at, whatever its ``last_checkpoint`` says; the newest is the one
    after the most iterations of its training, of several trainings that of the one which saved last. Copying does
    not change this, nor does a clock that goes back during a training.

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
            damaged.append(f'checkpoint {path} is no whole state of a training: it has no {_listed(checkpoint)}')
        elif reason:
            refused.append(f'checkpoint {path} {reason}')
        else:
            candidates.append((saved, path))
    newest = None
    last_of = {training: time for (training, _, time), _ in sorted(candidates, key=lambda entry: entry[0][2])}
    for _, path in sorted(candidates, key=lambda entry: (last_of[entry[0][0]], *entry), reverse=True):
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


def latest_iteration(folder: Union[str, Path], training: str) -> int:
    """The largest number of iterations that a checkpoint in a folder has of the training of this name; 0 for none."""
    latest = 0
    for path in checkpoints_in(Path(folder)):
        try:
            meta = load_unverified(path, mmap=zipfile.is_zipfile(path))['meta']
        except (ValueError, KeyError, TypeError):
            continue
        if meta.get('training') == training and isinstance(meta.get('iter'), int):
            latest = max(latest, meta['iter'])
    return latest


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


def _saved(checkpoint: Any) -> Optional[Tuple[str, int, str]]:
    """Of what training a checkpoint was saved, at which iteration and time; None where it is no whole state of one."""
    if missing_state(checkpoint) or not isinstance(checkpoint['meta'].get('time'), str):
        return None
    meta = checkpoint['meta']
    return str(meta.get('training')), meta['iter'], meta['time']


def _listed(checkpoint: Any) -> str:
    return ', '.join(missing_state(checkpoint)) or 'meta.time'


def _damage(path: Path) -> Optional[str]:
    """Why a training cannot go on from a checkpoint; None where it can."""
    try:
        diverged = not_finite(read_checkpoint(path)['state_dict'])
    except ValueError as error:
        return str(error)
    return f'checkpoint {path} is of a training that diverged: {diverged[:3]} are not finite' if diverged else None
