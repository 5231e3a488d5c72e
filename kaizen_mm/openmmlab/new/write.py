"""A new config is tried before it is written, and written whole or not at all."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import List, Optional

from kaizen_mm.files import write_lines
from kaizen_mm.openmmlab.advice import advise
from kaizen_mm.openmmlab.command_line import read_config
from kaizen_mm.openmmlab.new.choice import Choice
from kaizen_mm.openmmlab.new.config_text import config_text, list_files, needs_lists
from kaizen_mm.openmmlab.new.survey import Survey
from kaizen_mm.openmmlab.training.estimate import timed_phase
from kaizen_mm.openmmlab.training.phase_one import phase_one_config


def config_name(found: Survey) -> str:
    """A name for the config's file that mmengine takes, without ``.py``."""
    name = re.sub('[^A-Za-z0-9_]+', '_', found.name).strip('_')
    return name if name and not name[0].isdigit() else f'data_{name}'.rstrip('_')


def check_target(config: Path) -> None:
    """Raises:
    ValueError: ``config`` is no name for a config.
    FileExistsError: There is such a file, or a folder of its lists.
    """
    if config.suffix != '.py' or '.' in config.stem or not config.stem:
        raise ValueError(f'--out must name a .py file without other dots, got {config}')
    for path in (config, lists_folder(config)):
        if path.exists():
            raise FileExistsError(f'{path} is there already; remove it, or give another name with --out')


def lists_folder(config: Path) -> Path:
    """Where the lists of a config are written."""
    return config.with_name(f'{config.stem}_lists')


def try_config(found: Survey, choice: Choice) -> tuple:
    """The phases of the config that would be written, each timed for a few steps on the data, and what is known of its
    recurrence beforehand (:func:`~kaizen_mm.openmmlab.advice.advise`).

    Raises:
        ValueError: It cannot be trained.
    """
    with tempfile.TemporaryDirectory() as folder:
        cfg = read_config(str(_written(found, choice, Path(folder, 'tried.py'))))
        phases = [timed_phase('the training', cfg)]
        if cfg.get('phase_one') is not None:
            phases = [timed_phase('phase one', phase_one_config(cfg, folder)), phases[0]._replace(name='phase two')]
        return phases, advise(cfg)


def write_config(found: Survey, choice: Choice, config: Path) -> List[Path]:
    """Writes the config, and before it the lists that it needs, whole or not at all.

    Returns:
        What was written.

    Raises:
        ValueError, FileExistsError: See :func:`check_target`.
        OSError: It cannot be written.
    """
    check_target(config)
    try:
        _written(found, choice, config)
    except BaseException:
        shutil.rmtree(lists_folder(config), ignore_errors=True)
        raise
    return [path for path in (config, lists_folder(config)) if path.exists()]


def _written(found: Survey, choice: Choice, config: Path) -> Path:
    lists: Optional[str] = None
    if needs_lists(found):
        lists = os.path.abspath(lists_folder(config))
        for name, lines in list_files(found).items():
            write_lines(Path(lists, name), lines)
    write_lines(config, config_text(found, choice, lists).splitlines())
    return config
