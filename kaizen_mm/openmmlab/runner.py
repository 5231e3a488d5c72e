"""The runner of trainings with this package: what happens, in the order in which it happens.

mmengine's ``Runner`` with what a training in two phases needs. It has a work folder for itself, with a record of what
is in it. Phase one is trained before phase two. Checkpoints are written whole and read safely. Where there is no GPU,
gloo connects processes. The log is one that a person reads. ``runner_type = 'KaizenRunner'`` in a config asks for it,
in the stock ``tools/train.py`` and ``tools/test.py`` of mmaction2 and mmpretrain as well. Other runners and other
programs are left as they are.
"""

import contextlib
import functools
import logging
import os
import os.path as osp
from typing import Callable, Optional, Set, Union

import mmengine
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from mmengine.model import BaseModule
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch.utils.data import DataLoader

from kaizen_mm.data.workers import default_workers
from kaizen_mm.openmmlab.log.tidy_log import DETAILS, DetailsFilter, TerminalFilter
from kaizen_mm.openmmlab.named_configs import load_config
from kaizen_mm.openmmlab.pipelines import read_by_path
from kaizen_mm.openmmlab.processes import (
    check_same_weights,
    gloo_without_gpu,
    locked_on_rank_zero,
    on_rank_zero,
    read_on_rank_zero,
    unwrapped,
    wrapper_config,
)
from kaizen_mm.openmmlab.training.divergence import FiniteLossHook
from kaizen_mm.openmmlab.training.hooks import FirstWeightsHook
from kaizen_mm.openmmlab.training.passed_over import trains_phase_one
from kaizen_mm.openmmlab.training.phase_one import train_phase_one
from kaizen_mm.openmmlab.training.pretrained import naming_addresses, naming_prefixes
from kaizen_mm.openmmlab.training.saving import BACKEND, whole, with_whole_checkpoints
from kaizen_mm.openmmlab.training.trial import check_entries, check_kinds
from kaizen_mm.openmmlab.training.work_folder import WorkFolder


@RUNNERS.register_module(name=['KaizenRunner', 'TidyLogRunner'])
class KaizenRunner(Runner):
    """mmengine's ``Runner`` for trainings in two phases; see the methods, which stand in the order of events.

    The arguments are those of a config. ``from_cfg`` takes ``kaizen_mm::NAME`` as well. Hooks that no training should
    be without are there whatever a config says (``FirstWeightsHook``, ``FiniteLossHook``), as is phase one wherever the
    config has an entry ``phase_one``.

    Raises:
        FolderInUse: Another process trains in the work folder.
        ValueError: The work folder holds the training of another config; an entry of the config changes nothing or
            cannot be used; the weights that training ended with are not finite.
        RuntimeError: The processes would start from different weights.
    """

    trains_phase_one = True

    # ------------------------------------------------------------------------------------------------- it is built

    @classmethod
    def from_cfg(cls, cfg: Union[Config, dict, str]) -> 'KaizenRunner':
        """A runner of a config, or of the name of one of this package."""
        cfg = load_config(cfg) if isinstance(cfg, str) else cfg
        check_kinds(cfg)
        return super().from_cfg(cfg)

    def setup_env(self, env_cfg: dict) -> None:
        """Processes find each other; each runner has a folder of its own for its log."""
        self._folder = WorkFolder(self)
        with gloo_without_gpu(env_cfg) as env_cfg:
            super().setup_env(env_cfg)
        # or runners of one second would write one log
        self._timestamp = on_rank_zero(_new_folder, self.work_dir, self._timestamp)

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """A line begins with date and time; what is long goes to ``details.txt`` beside the log, and the terminal has
        one line an epoch."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler.formatter, MMFormatter):
                handler.formatter.info_format = '%(asctime)s  %(message)s'
                handler.formatter.datefmt = '%m/%d %H:%M:%S'
            if type(handler) is logging.StreamHandler:
                handler.addFilter(TerminalFilter())
        logger.addFilter(DetailsFilter(osp.join(self.log_dir, DETAILS)))
        return logger

    def _log_env(self, env_cfg: dict) -> None:
        super()._log_env(env_cfg)
        where = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
        self.logger.info(
            f'{self.experiment_name}: PyTorch {torch.__version__}, MMEngine {mmengine.__version__}, {where}, '
            f'{self.world_size} process{"es" * (self.world_size > 1)}, seed {self.seed}'
        )
        self.logger.info(
            f'Environment, config, hooks and options of parameters: {osp.relpath(osp.join(self.log_dir, DETAILS))}'
        )

    def wrap_model(self, model_wrapper_cfg: Optional[dict], model: torch.nn.Module) -> torch.nn.Module:
        """Distributed training without a GPU has a wrapper that asks for none."""
        if self.distributed:
            model_wrapper_cfg = wrapper_config(model_wrapper_cfg, self.cfg.get('find_unused_parameters', False))
        return super().wrap_model(model_wrapper_cfg, model)

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        """Those of the config, checkpoints written whole, and those that no training should be without."""
        super().register_hooks(with_whole_checkpoints(default_hooks), [whole(hook) for hook in custom_hooks or []])
        for hook in (FirstWeightsHook, FiniteLossHook):
            if not any(isinstance(own, hook) for own in self._hooks):
                self.register_hook(hook())

    def dump_config(self) -> None:
        """Writes the config once the work folder is known to be its own; mmengine does so while a runner is built,
        which may be refused, over the config that a training has left there. That of a test goes beside its log where
        the work folder has one of its name."""
        name = osp.basename(self.cfg.filename or f'{self.timestamp}.py')
        if self._folder.tests and osp.exists(osp.join(self.work_dir, name)):
            self.cfg.dump(osp.join(self.log_dir, name))
        elif self._folder.is_own:
            super().dump_config()

    # ------------------------------------------------------------------------------------------- it trains or tests

    def train(self) -> torch.nn.Module:
        """Trains, both phases where the config has ``phase_one``; the work folder is locked meanwhile."""
        with locked_on_rank_zero(self.work_dir, self.logger.warning):
            return super().train()

    @staticmethod
    def build_dataloader(dataloader, seed: Optional[int] = None, diff_rank_seed: bool = False) -> DataLoader:
        """One of a config without ``num_workers`` has :func:`~kaizen_mm.data.workers.default_workers`; local videos are
        opened by their path (:func:`~kaizen_mm.openmmlab.pipelines.read_by_path`)."""
        if isinstance(dataloader, dict):
            dataset = read_by_path(dataloader.get('dataset'))
            dataloader = {'num_workers': default_workers(), **dataloader, 'dataset': dataset}
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def call_hook(self, fn_name: str, **kwargs) -> None:
        """At each event the runner's own part, a method of its name, comes before the hooks."""
        own = getattr(self, f'_{fn_name}', None)
        if own is not None:
            own(**kwargs)
        super().call_hook(fn_name, **kwargs)

    def _before_run(self) -> None:
        """Finds what to resume from, and has phase one trained."""
        trains_phase_one(self)
        tests = self._train_loop is None or isinstance(self._train_loop, dict) or self._folder.ended
        trains = not tests and bool(self.cfg)  # of what a tool has built without a config nothing is known
        resume, given, newest = self._resume, self._load_from, None
        if trains:
            check_entries(self.cfg, unwrapped(self.model))
            newest = self._folder.begin(resume, given)
        self._folder.is_own, self._folder.tests = True, tests and not self._folder.ended
        self.dump_config()
        if newest is not None:
            self._load_from = newest
        elif trains and not given:
            self._resume = False
            if self.cfg.get('phase_one') is not None:
                train_phase_one(self, resume)

    def _init_model_weights(self) -> None:
        # mmengine writes how every parameter was initialized straight into the file of the log
        model = unwrapped(self.model)
        if isinstance(model, BaseModule):
            model._dump_init_info = functools.partial(_to_details, self, model._dump_init_info)
        with naming_prefixes(model):
            super()._init_model_weights()
        model.__dict__.pop('_dump_init_info', None)

    def load_checkpoint(
        self,
        filename: str,
        map_location='cpu',
        strict: bool = False,
        revise_keys: list = [(r'^module.', '')],  # noqa: B006  as mmengine has it
    ) -> dict:
        """Of several processes the first alone reads; what does not match is told in the log."""
        with naming_addresses(filename):
            loaded = read_on_rank_zero(filename, map_location, self.logger)
        self.call_hook('after_load_checkpoint', checkpoint=loaded)
        loaded = _load_checkpoint_to_model(
            unwrapped(self.model), loaded, strict, logger=self.logger, revise_keys=revise_keys
        )
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return loaded

    def _after_load_checkpoint(self, checkpoint: dict) -> None:
        self._folder.loaded(checkpoint)

    def _before_train(self) -> None:
        """All processes start from the same weights; the work folder gets its record."""
        check_same_weights(self.model)
        self._folder.put_gradients_back()
        if self.cfg and on_rank_zero(self._folder.record_beginning):
            self.train_loop.stop_training = True

    def save_checkpoint(
        self, out_dir: str, filename: str, file_client_args: Optional[dict] = None, *args, backend_args=None, **kwargs
    ) -> None:
        """Writes a checkpoint whole or not at all, where it goes to a local disk."""
        if file_client_args is None and '://' not in out_dir and 'backend' not in (backend_args or {}):
            backend_args = {**(backend_args or {}), 'backend': BACKEND}
        super().save_checkpoint(out_dir, filename, file_client_args, *args, backend_args=backend_args, **kwargs)

    def _before_save_checkpoint(self, checkpoint: dict) -> None:
        self._folder.sign(checkpoint)

    def _after_train(self) -> None:
        """The record says that the training has ended, and with which checkpoint."""
        if self.cfg:
            on_rank_zero(self._folder.record_end)
        self._folder.ended = True


TidyLogRunner = KaizenRunner  # its former name


_NAMES: Set[str] = set()  # of the runners of this process: mmengine's loggers go by them


def _new_folder(parent: str, name: str) -> str:
    """Makes a folder; returns its name, with a number where there is one of that name or a runner has had it."""
    own, number = name, 1
    while True:
        with contextlib.suppress(FileExistsError):
            if own not in _NAMES:
                os.mkdir(osp.join(parent, own))
                _NAMES.add(own)
                return own
        number += 1
        own = f'{name}_{number}'


def _to_details(runner: Runner, dump: Callable[[], None]) -> None:
    handlers = runner.logger.handlers
    details = logging.FileHandler(osp.join(runner.log_dir, DETAILS))
    try:
        runner.logger.handlers = [details]
        dump()
    finally:
        runner.logger.handlers = handlers
        details.close()
