"""A checkpoint that is named to resume from: what it is of, before anything of it is loaded."""

from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from mmengine.config import Config
from torch import nn

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.models.convert import without_prefix
from kaizen_mm.openmmlab.training.checkpoints import SETTINGS, missing_state
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from kaizen_mm.openmmlab.training.record import read_record
from kaizen_mm.openmmlab.training.settings import differences, training_settings
from kaizen_mm.surgery.weights_check import check_trained_weights, trained_iterations


def check_resumed(path: str, cfg: Config, work_dir: str, model: nn.Module, announce: Callable[[str], None]) -> None:
    """Whether a training can go on from a checkpoint; how that training differs is said.

    Args:
        path: The checkpoint. Addresses with a scheme are not looked at.
        cfg: Config of the training that is to go on.
        work_dir: Its work folder.
        model: Its network.
        announce: Called with the differences of the settings, where there are any.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is of phase one, where phase two is to go on; or of another network or another ``K``; or damaged;
            or it has weights, but no whole state of a training.
    """
    if '://' in path:
        return
    checkpoint = read_checkpoint(path)
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    there, here = _settings(path, meta), training_settings(cfg)
    different = differences(there, here, resumed=True) if there else []
    if different and cfg.get('phase_one') is not None:
        one = training_settings(phase_one_config(cfg, work_dir))
        if not differences(there, one, resumed=True):
            raise ValueError(
                f'--resume: {path} is a checkpoint of phase one, and phase two is to be resumed. Where phase one was '
                'interrupted, --resume without a name goes on with it; to start phase two from this checkpoint, '
                f'load_from={path} without --resume'
            )
    check_whole_state(checkpoint, path, cfg)
    try:
        check_trained_weights(model, without_prefix(checkpoint.get('state_dict', checkpoint)), meta, path)
    except ValueError as error:
        start = ''
        if cfg.get('phase_one') is not None and trained_iterations(checkpoint.get('state_dict', checkpoint), meta) == 1:
            start = f'. Where it is of phase one: to start phase two from it, load_from={path} without --resume'
        raise ValueError(f'--resume: {error}{start}') from error
    if different and meta.get('training') != _name_in(work_dir):  # else the record of the folder says so
        announce(f'the training of {path} differs from this one in:\n' + '\n'.join(different))


def check_whole_state(checkpoint: Mapping[str, Any], path: Optional[str], cfg: Config) -> None:
    """Raises ValueError where a checkpoint lacks part of the state that a training goes on from."""
    missing = missing_state(checkpoint, scheduled=bool(cfg.get('param_scheduler')))
    if missing:
        raise ValueError(
            f'--resume: {path} is no whole state of a training: it has no {", ".join(missing)}, which would begin anew '
            f'in the midst of the training. To start one from its weights: load_from={path} without --resume'
        )


def _settings(path: str, meta: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Those of the training that a checkpoint is of; earlier versions have them in the record beside it alone."""
    if isinstance(meta.get(SETTINGS), dict):
        return meta[SETTINGS]
    try:
        record = read_record(str(Path(path).parent))
    except ValueError:
        return None
    return record.settings if record is not None and record.training == meta.get('training') else None


def _name_in(folder: str) -> Optional[str]:
    record = read_record(folder)
    return None if record is None else record.training
