"""What a training keeps of itself in its work folder: what it resumes from, its record, what its checkpoints carry."""

import dataclasses
import os.path as osp
from typing import Optional

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from kaizen_mm.checkpoint_files import not_finite, read_checkpoint
from kaizen_mm.files import file_digest
from kaizen_mm.openmmlab.processes import on_rank_zero, unwrapped
from kaizen_mm.openmmlab.training.accumulation import pending_gradients, put_back
from kaizen_mm.openmmlab.training.checkpoints import SETTINGS, latest_iteration
from kaizen_mm.openmmlab.training.record import (
    TrainingRecord,
    check_settings_of,
    new_record,
    read_record,
    relative,
    resume_point,
    write_record,
)
from kaizen_mm.openmmlab.training.resuming import check_resumed, check_whole_state
from kaizen_mm.openmmlab.training.settings import STARTS, differences, lasts_longer, training_settings

FINAL = 'final.pth'


class WorkFolder:
    """The work folder of a runner, for the length of a training.

    Args:
        runner: Its methods call these, in their order.
    """

    def __init__(self, runner: Runner):
        self._runner = runner
        self.is_own = False  # whether the folder is known to be no other training's
        self.ended = False  # whether the training is over, and a test follows
        self.tests = False  # whether nothing is trained
        self._record: Optional[TrainingRecord] = None
        self._loaded = None  # the training that the loaded checkpoint is of
        self._named = False  # whether the checkpoint to resume from was given by name
        self._gradients: Optional[dict] = None  # that were waiting for a step when it was saved

    def begin(self, resume: bool, given: Optional[str]) -> Optional[str]:
        """Looks at what is in the folder before a training begins or goes on.

        Args:
            resume: Whether it is to go on.
            given: The checkpoint to start or to go on from, if one was named.

        Returns:
            The checkpoint that was found to go on from.

        Raises:
            ValueError: The folder holds the training of another config, or the checkpoint is of another network.
        """
        self._named = bool(resume and given)
        if not resume:
            on_rank_zero(self._check)
        elif not given:
            return on_rank_zero(self._checkpoint_to_resume)
        else:
            runner = self._runner
            model = unwrapped(runner.model)
            on_rank_zero(check_resumed, given, runner.cfg, runner.work_dir, model, runner.logger.warning)
        return None

    def _checkpoint_to_resume(self) -> Optional[str]:
        runner = self._runner
        newest = resume_point(runner.work_dir, training_settings(runner.cfg), runner.logger.warning)
        runner.logger.info(
            f'Nothing to resume in {runner.work_dir}: training begins'
            if newest is None
            else f'Training is resumed from {newest}'
        )
        return newest

    def _check(self) -> None:
        runner = self._runner
        record = read_record(runner.work_dir)
        if record is not None:
            check_settings_of(record, training_settings(runner.cfg), runner.work_dir)

    def loaded(self, checkpoint: dict) -> None:
        """Notes of what training a checkpoint is that is being loaded."""
        runner = self._runner
        if runner._resume and runner.cfg:  # what has an address with a scheme is seen here first
            check_whole_state(checkpoint, runner._load_from, runner.cfg)
        self._loaded = (checkpoint.get('meta') or {}).get('training')
        self._gradients = checkpoint.pop('gradients', None) if runner._resume else None

    def put_gradients_back(self) -> None:
        """Puts gradients that waited for a step when the checkpoint was saved where they were."""
        runner = self._runner
        put_back(self._gradients, unwrapped(runner.model), runner.optim_wrapper, runner.logger.warning)
        self._gradients = None

    def record_beginning(self) -> bool:
        """Writes the record; returns whether the training has ended already, such as early."""
        runner = self._runner
        settings, old = training_settings(runner.cfg), read_record(runner.work_dir)
        if not runner._resume:
            self._record = new_record(settings)
        elif old is not None and self._goes_on(old, settings):
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
                lines = differences(old.settings, settings, resumed=True)
                runner.logger.warning(
                    f'the training that {runner.work_dir} holds counts no more, nor do its later checkpoints; another '
                    f'one begins with {runner._load_from}' + '\n'.join([', which differs in:', *lines] if lines else [])
                )
            self._record = new_record(
                {key: value for key, value in settings.items() if key not in STARTS},
                saved=True,
                started_from=relative(runner._load_from, runner.work_dir),
            )
        hook = self._checkpoint_hook()
        if hook is not None and hook.out_dir is not None:  # CheckpointHook.before_train, which comes later, adds a name
            folder = osp.join(hook.out_dir, osp.basename(runner.work_dir))
            self._record.checkpoint_folder = relative(folder, runner.work_dir)
        write_record(runner.work_dir, self._record)
        return False

    def _goes_on(self, old: TrainingRecord, settings: dict) -> bool:
        """Whether what was loaded is of the training in the folder, and its settings still hold."""
        runner = self._runner
        own = self._loaded == old.training or relative(runner._load_from, runner.work_dir) == old.started_from
        folder = osp.join(runner.work_dir, old.checkpoint_folder)
        earlier = self._named and latest_iteration(folder, old.training) > runner.iter
        return own and not earlier and not differences(old.settings, settings, resumed=True)

    def _checkpoint_hook(self) -> Optional[CheckpointHook]:
        return next((hook for hook in self._runner.hooks if isinstance(hook, CheckpointHook)), None)

    def sign(self, checkpoint: dict) -> None:
        """Has a checkpoint carry what it is of."""
        runner = self._runner
        if self._record is None or not is_main_process():
            return
        checkpoint['meta'].update({'training': self._record.training, SETTINGS: self._record.settings})
        gradients = pending_gradients(unwrapped(runner.model), runner.optim_wrapper)
        if gradients:
            checkpoint['gradients'] = gradients
        if not self._record.saved:
            self._record.saved = True
            write_record(runner.work_dir, self._record)

    def record_end(self) -> None:
        """Records the checkpoint that training has ended with; it is saved where no hook has done so."""
        runner = self._runner
        hook = self._checkpoint_hook()
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
            self._record,
            saved=True,
            checkpoint=relative(path, runner.work_dir),
            iterations=runner.iter,
            digest=file_digest(path),
        )
        write_record(runner.work_dir, self._record)
