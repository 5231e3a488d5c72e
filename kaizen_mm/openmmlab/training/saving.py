"""Checkpoints that are written whole or not at all, in the sockets that mmengine has for that: a file backend, a hook.

mmengine 0.10.7 truncates files before it writes them. It removes the oldest checkpoint before it writes the new one
(``hooks/checkpoint_hook.py``). It removes the best checkpoint by a path that a checkpoint gives, which may lie outside
the folder of this training.
"""

import os
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from kaizen_mm.files import write_bytes

BACKEND = 'whole_files'


@register_backend(BACKEND, force=True)
class WholeFileBackend(LocalBackend):
    """Local files that are written aside, synced and renamed: ``backend_args=dict(backend='whole_files')``."""

    def put(self, obj: bytes, filepath) -> None:
        write_bytes(Path(filepath), obj)

    def put_text(self, obj: str, filepath, encoding: str = 'utf-8') -> None:
        self.put(obj.encode(encoding), filepath)


@HOOKS.register_module(force=True)
class WholeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, which writes whole files, removes the oldest once the new one is there, and looks
    for what it removes in the folder of this training only. ``KaizenRunner`` takes it for a ``CheckpointHook`` of a
    config."""

    def before_train(self, runner) -> None:
        # the numbers of the checkpoints to be removed come from the one that was resumed from, and from no other run
        info = runner.message_hub.runtime_info
        if not runner._resume:
            info.pop('keep_ckpt_ids', None)
        if 'keep_ckpt_ids' in info:
            ids = runner.message_hub.get_info('keep_ckpt_ids')
            runner.message_hub.update_info('keep_ckpt_ids', [i for i in ids if isinstance(i, int)])
        super().before_train(runner)
        if self.save_best:
            for name in [key for key in info if key.startswith('best_ckpt')]:
                self._keep_to_folder(runner, name)

    def _keep_to_folder(self, runner, name: str) -> None:
        """The best checkpoint of an earlier run is looked for, and later removed, in the folder of this one only."""
        path = runner.message_hub.get_info(name)
        path = path and self.file_backend.join_path(self.out_dir, os.path.basename(path))
        runner.message_hub.update_info(name, path)
        if name == 'best_ckpt' and hasattr(self, 'best_ckpt_path'):
            self.best_ckpt_path = path
        elif hasattr(self, 'best_ckpt_path_dict'):
            self.best_ckpt_path_dict[name[len('best_ckpt_') :]] = path

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:  # the best is saved in the same step
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        write_bytes(Path(runner.work_dir, 'last_checkpoint'), str(self.last_ckpt).encode())
        if outdated in (None, name):
            return
        path = self.file_backend.join_path(self.out_dir, outdated)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)


def with_whole_checkpoints(default_hooks: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """The default hooks of a config, in which ``WholeCheckpointHook`` stands for mmengine's ``CheckpointHook``."""
    hooks = {'checkpoint': dict(type='CheckpointHook', interval=1), **(default_hooks or {})}
    return {name: whole(hook) for name, hook in hooks.items()}


def whole(hook: Any) -> Any:
    """A hook of a config; of mmengine's ``CheckpointHook`` the one that writes whole files."""
    stock = ('CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook)
    return {**hook, 'type': 'WholeCheckpointHook'} if isinstance(hook, dict) and hook.get('type') in stock else hook
