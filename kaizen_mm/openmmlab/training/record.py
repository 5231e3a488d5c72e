"""What a work folder holds: whose checkpoints they are, and whether their training has ended.

Every training keeps ``training.json`` beside its checkpoints: the settings that decide its weights
(:mod:`kaizen_mm.openmmlab.training.settings`), a name of its own that its checkpoints carry, and, once it has ended,
the checkpoint it ended with. Training, comparing and reproducing ask here alone.
"""

import dataclasses
import json
import logging
import os
import os.path as osp
import uuid
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config
from mmengine.logging import print_log

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.files import file_digest, write_lines
from kaizen_mm.openmmlab.training.checkpoints import checkpoints_in, newest_whole_checkpoint
from kaizen_mm.openmmlab.training.settings import STARTS, differences, fingerprint, lasts_longer, training_settings

NAME = 'training.json'


@dataclasses.dataclass
class TrainingRecord:
    """What ``training.json`` says of the training in its folder.

    Args:
        training: The name that the checkpoints of this training carry as ``meta.training``.
        settings: Those of :func:`~kaizen_mm.openmmlab.training.settings.training_settings`.
        fingerprint: That of the settings.
        started_from: The checkpoint that the training was told to resume from, if it was. A path in the folder is
            relative to it, here and below.
        checkpoint_folder: Where checkpoints are written to. Default: beside this file.
        saved: Whether a checkpoint was written.
        checkpoint: The one that the training ended with; None where it has not ended.
        iterations: How many iterations it then had.
        digest: SHA-256 of that checkpoint's file.
    """

    training: str
    settings: Dict[str, Any]
    fingerprint: str
    started_from: Optional[str] = None
    checkpoint_folder: str = '.'
    saved: bool = False
    checkpoint: Optional[str] = None
    iterations: Optional[int] = None
    digest: Optional[str] = None


def new_record(settings: Dict[str, Any], **kwargs) -> TrainingRecord:
    """The record of a training that begins."""
    return TrainingRecord(uuid.uuid4().hex, settings, fingerprint(settings), **kwargs)


def write_record(folder: str, record: TrainingRecord) -> None:
    """Writes the record, whole."""
    write_lines(Path(folder, NAME), [json.dumps(dataclasses.asdict(record), indent=2)])


def read_record(folder: str) -> Optional[TrainingRecord]:
    """The record of a folder; None where it has none.

    Raises:
        ValueError: The file is damaged or was edited.
    """
    path = Path(folder, NAME)
    if not path.is_file():
        return None
    try:
        record = TrainingRecord(**json.loads(path.read_text(encoding='utf-8')))
        kinds = dict(
            training=str,
            settings=dict,
            fingerprint=str,
            started_from=(str, type(None)),
            checkpoint_folder=str,
            saved=bool,
            checkpoint=(str, type(None)),
            iterations=(int, type(None)),
            digest=(str, type(None)),
        )
        wrong = [key for key, kind in kinds.items() if not isinstance(getattr(record, key), kind)]
        if wrong or record.fingerprint != fingerprint(record.settings):
            raise ValueError(f'{wrong or "settings"} are not what was written')
    except (ValueError, TypeError) as error:
        raise ValueError(
            f'{path} is damaged or was edited ({error}): put back what was written; or remove it and go on '
            'from a checkpoint by name, --resume CHECKPOINT'
        ) from error
    return record


def relative(path: str, folder: str) -> str:
    """The path as seen from the folder, where it is in it, so that both may be moved."""
    inside = osp.relpath(osp.abspath(path), osp.abspath(folder))
    return osp.abspath(path) if inside.startswith(os.pardir) else inside


def finished_checkpoint(cfg: Config, resumed: bool = False) -> Optional[str]:
    """The checkpoint that the training of a config has ended with, in its ``work_dir``; None where it has not ended.

    However it ended: after its epochs or iterations, or stopped early; and whatever the checkpoint's name and
    folder.

    Args:
        cfg: The config.
        resumed: Whether the training may go on, so that one which has ended after fewer epochs or iterations, or whose
            last checkpoint is damaged, counts as not ended yet. Default False: it is one of another config.

    Raises:
        ValueError: The folder holds the training of another config, or checkpoints without a record, or the
            record or its checkpoint is damaged or missing.
    """
    settings = training_settings(cfg)
    record = read_record(cfg.work_dir)
    if record is None:
        check_no_checkpoints(cfg.work_dir)
        return None
    check_settings_of(record, settings, cfg.work_dir, resumed, starts=True)
    if record.checkpoint is None or lasts_longer(record.settings, settings):
        return None
    path = osp.join(cfg.work_dir, record.checkpoint)
    if not osp.isfile(path):
        raise ValueError(
            f'{osp.join(cfg.work_dir, NAME)} says that the training ended with {record.checkpoint}, which is '
            'not there: put it back, or move the folder away to train anew'
        )
    try:
        checkpoint = read_checkpoint(path)
    except ValueError as error:
        if not resumed:
            raise
        print_log(f'passed over: {error}', logger='current', level=logging.WARNING)
        return None
    meta = checkpoint.get('meta') or {}
    own = record.training == meta.get('training') or record.checkpoint == record.started_from
    whole = record.digest is None or record.digest == file_digest(path)  # earlier versions have none
    if meta.get('iter') != record.iterations or not own or not whole:
        raise ValueError(
            f'{path} is not the checkpoint that the training in its folder ended with, after {record.iterations} '
            f'iterations: one of them or {NAME} was exchanged or edited. Put back what was there, or move the folder '
            'away to train anew'
        )
    return path


def check_no_checkpoints(folder: str) -> None:
    """Refuses a folder that was trained without a record.

    Raises:
        ValueError: The folder has checkpoints, but no record says what they are of.
    """
    files = checkpoints_in(Path(folder)) or list(Path(folder).glob('last_checkpoint'))
    if files:
        newest = max(files, key=lambda path: path.stat().st_mtime)
        raise ValueError(
            f'{folder} holds {newest.name} but no {NAME}: it was trained by an earlier version or another program. '
            'Nothing says with which config, or whether to the end. To go on from a checkpoint, or to have the last '
            f'one recorded: tools/train.py CONFIG --work-dir {folder} --resume CHECKPOINT, with the config file that '
            'the training left there. To start phase two from it: load_from=CHECKPOINT. Otherwise choose another work '
            'folder'
        )


def check_settings_of(
    record: TrainingRecord, settings: Dict[str, Any], folder: str, resumed: bool = False, starts: bool = False
) -> None:
    """``resumed`` is that of :func:`~kaizen_mm.openmmlab.training.settings.differences`; with ``starts`` what the
    training was started from counts even so, where both say it.

    Raises:
        ValueError: The folder holds checkpoints of a training with other settings; the message shows them.
    """
    lines = differences(record.settings, settings, resumed) if record.saved else []
    if resumed and starts and record.saved:
        old, new = ({key: given[key] for key in STARTS if key in given} for given in (record.settings, settings))
        lines += differences(old, new) if old.keys() == new.keys() else []
    if lines:
        raise ValueError(
            f'{folder} holds a training of another config:\n  '
            + '\n  '.join(_few(lines))
            + '\nChoose another work folder (--work-dir, or phase_one.work_dir for phase one), or move this one '
            'away. To go on from one of its checkpoints all the same: --resume CHECKPOINT'
        )


def _few(lines: List[str], most: int = 20) -> List[str]:
    return lines if len(lines) <= most else [*lines[:most], f'and {len(lines) - most} more']


def resume_point(folder: str, settings: Dict[str, Any], announce) -> Optional[str]:
    """The newest whole checkpoint of the training of these settings in a folder; None where it has not begun.

    Raises:
        ValueError: As :func:`finished_checkpoint`; or none of the checkpoints is whole.
    """
    record = read_record(folder)
    if record is None:
        check_no_checkpoints(folder)
        return None
    check_settings_of(record, settings, folder, resumed=True)

    def of_another_training(checkpoint: dict) -> Optional[str]:
        own = checkpoint['meta'].get('training') == record.training
        return None if own else 'is of another training, which was in this folder before'

    newest = None
    if record.saved:
        newest = newest_whole_checkpoint(osp.join(folder, record.checkpoint_folder), of_another_training, announce)
    if newest is None and record.started_from is not None:
        newest = osp.join(folder, record.started_from)
    if newest is None and record.checkpoint is not None:  # where it has not ended, the first may not have been written
        raise ValueError(
            f'{folder} held checkpoints of its training, none of which is there now: put one back, or move the '
            'folder away to train anew'
        )
    return None if newest is None else str(newest)
