"""What every training needs whatever the hooks of its config: two phases, a record, equal processes."""

import dataclasses
import functools
import os.path as osp
from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from kaizen_mm.checkpoint_files import not_finite, read_checkpoint
from kaizen_mm.openmmlab.processes import check_same_weights, on_rank_zero, unwrapped
from kaizen_mm.openmmlab.training.divergence import FiniteLossHook
from kaizen_mm.openmmlab.training.hooks import FirstWeightsHook
from kaizen_mm.openmmlab.training.phase_one import train_phase_one
from kaizen_mm.openmmlab.training.record import (
    TrainingRecord,
    check_settings_of,
    new_record,
    read_record,
    relative,
    resume_point,
    write_record,
)
from kaizen_mm.openmmlab.training.settings import STARTS, differences, lasts_longer, training_settings
from kaizen_mm.openmmlab.training.trial import check_entries

FINAL = 'final.pth'


class TrainingHook(Hook):
    """Keeps the record of the work folder, finds what to resume from, and has phase one trained.

    It is in every runner (:func:`add_to_all_runners`); configs neither name nor can lose it.

    Raises:
        ValueError: The work folder holds the training of another config; an entry of the config changes nothing or
            cannot be used; the weights that training ended with are not finite.
        RuntimeError: The processes would start from different weights.
    """

    priority = 'HIGHEST'

    def __init__(self):
        self._record: Optional[TrainingRecord] = None
        self._loaded = None  # the training that the loaded checkpoint is of
        self._ended = False

    def before_run(self, runner: Runner) -> None:
        tests = runner._train_loop is None or isinstance(runner._train_loop, dict) or self._ended
        trains = not tests and bool(runner.cfg)  # of what a tool has built without a config nothing is known
        resume, given, newest = runner._resume, runner._load_from, None
        if trains:
            check_entries(runner.cfg, unwrapped(runner.model))
            if not resume:
                on_rank_zero(self._check_folder, runner)
            elif not given:
                newest = on_rank_zero(self._checkpoint_to_resume, runner)
        runner._may_dump_config = True
        runner.dump_config()
        if newest is not None:
            runner._load_from = newest
        elif trains and not given:
            runner._resume = False
            if runner.cfg.get('phase_one') is not None:
                train_phase_one(runner, resume)

    @staticmethod
    def _checkpoint_to_resume(runner) -> Optional[str]:
        newest = resume_point(runner.work_dir, training_settings(runner.cfg), runner.logger.warning)
        runner.logger.info(
            f'Nothing to resume in {runner.work_dir}: training begins'
            if newest is None
            else f'Training is resumed from {newest}'
        )
        return newest

    @staticmethod
    def _check_folder(runner) -> None:
        record = read_record(runner.work_dir)
        if record is not None:
            check_settings_of(record, training_settings(runner.cfg), runner.work_dir)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        self._loaded = (checkpoint.get('meta') or {}).get('training')

    def before_train(self, runner) -> None:
        check_same_weights(runner.model)
        if runner.cfg and on_rank_zero(self._begin, runner):
            runner.train_loop.stop_training = True

    def _begin(self, runner) -> bool:
        """Writes the record; returns whether the training has ended already, such as early."""
        settings, old = training_settings(runner.cfg), read_record(runner.work_dir)
        if not runner._resume:
            self._record = new_record(settings)
        elif old is not None and self._goes_on(old, settings, runner):
            if (
                old.checkpoint is not None
                and runner.iter == old.iterations
                and not lasts_longer(old.settings, settings)
            ):
                self._record = old
                return True
            # what the training was started from is not given again
            self._record = dataclasses.replace(
                new_record({**settings, **{key: old.settings[key] for key in STARTS if key in old.settings}}),
                training=old.training,
                saved=old.saved,
                started_from=old.started_from,
            )
        else:
            if old is not None:
                runner.logger.warning(
                    f'the training that {runner.work_dir} holds counts no more; the one that begins with '
                    f'{runner._load_from} differs in:\n' + '\n'.join(differences(old.settings, settings))
                )
            self._record = new_record(
                {key: value for key, value in settings.items() if key not in STARTS},
                saved=True,
                started_from=relative(runner._load_from, runner.work_dir),
            )
        hook = self._checkpoint_hook(runner)
        if hook is not None and hook.out_dir is not None:  # CheckpointHook.before_train, which comes later, adds a name
            folder = osp.join(hook.out_dir, osp.basename(runner.work_dir))
            self._record.checkpoint_folder = relative(folder, runner.work_dir)
        write_record(runner.work_dir, self._record)
        return False

    def _goes_on(self, old: TrainingRecord, settings: dict, runner) -> bool:
        """Whether what was loaded is of the training in the folder, and its settings still hold."""
        own = self._loaded == old.training or relative(runner._load_from, runner.work_dir) == old.started_from
        return own and not differences(old.settings, settings, resumed=True)

    @staticmethod
    def _checkpoint_hook(runner) -> Optional[CheckpointHook]:
        return next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if self._record is None or not is_main_process():
            return
        checkpoint['meta']['training'] = self._record.training
        if not self._record.saved:
            self._record.saved = True
            write_record(runner.work_dir, self._record)

    def after_train(self, runner) -> None:
        if runner.cfg:
            on_rank_zero(self._end, runner)
        self._ended = True

    def _end(self, runner) -> None:
        """Records the checkpoint that training has ended with; it is saved where no hook has done so."""
        hook = self._checkpoint_hook(runner)
        path = hook.last_ckpt if hook is not None else None
        if path is None and runner._resume and not osp.isabs(relative(runner._load_from, runner.work_dir)):
            path = runner._load_from  # nothing was left to train
        checkpoint = read_checkpoint(path) if path is not None and osp.isfile(path) else {}
        if checkpoint.get('meta', {}).get('iter') != runner.iter:
            path = osp.join(runner.work_dir, FINAL)
            runner.save_checkpoint(
                runner.work_dir, FINAL, meta=dict(epoch=runner.epoch, iter=runner.iter), by_epoch=False
            )
            checkpoint = read_checkpoint(path)
        diverged = not_finite(checkpoint['state_dict'])
        if diverged:
            raise ValueError(
                f'training has ended with weights that are not finite: {diverged[:3]} of {path}; it does not count'
            )
        self._record = dataclasses.replace(
            self._record, saved=True, checkpoint=relative(path, runner.work_dir), iterations=runner.iter
        )
        write_record(runner.work_dir, self._record)


def add_to_all_runners() -> None:
    """Has mmengine's runner register :class:`TrainingHook` before the hooks of its config, and with them those that no
    training should be without; and write its config into the work folder once that is found to be its own."""
    if hasattr(Runner.register_hooks, '__wrapped__'):
        return
    register = Runner.register_hooks

    @functools.wraps(register)
    def register_hooks(self, default_hooks=None, custom_hooks=None):
        register(self, default_hooks, custom_hooks)
        for hook in (FirstWeightsHook, FiniteLossHook):
            if not any(isinstance(own, hook) for own in self._hooks):
                self.register_hook(hook())
        self._hooks.insert(0, TrainingHook())

    dump = Runner.dump_config

    @functools.wraps(dump)
    def dump_config(self):
        # mmengine does this while a runner is built, which may be refused, over the config that a training has left
        # there
        if getattr(self, '_may_dump_config', False):
            dump(self)

    Runner.register_hooks, Runner.dump_config = register_hooks, dump_config
