"""Both phases of training in one run.

Battash & Wolf, arXiv:1910.11105, section 3.1: the plain network is trained first; the
recurrent one starts from its weights.
"""

import copy
import os.path as osp
from typing import Optional

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from kaizen_mm.arguments import check_flag
from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.layers.first_weights import untrained_first_weights
from kaizen_mm.openmmlab.processes import locked_on_rank_zero, on_rank_zero, read_on_rank_zero, unwrapped
from kaizen_mm.openmmlab.training.estimate import announce
from kaizen_mm.openmmlab.training.pretrained import loads_weights, naming_addresses, without_weights_for
from kaizen_mm.openmmlab.training.record import finished_checkpoint, read_record
from kaizen_mm.openmmlab.training.runner import RUNNER_ENTRIES, build_runner, check_runner
from kaizen_mm.openmmlab.training.trial import check_entries, check_known, try_one_step, unchanged_random_state


@HOOKS.register_module()
class PhaseOneHook(Hook):
    """Refuses to train phase two from weights that phase one has not trained.

    Phase one itself is trained wherever a config has an entry ``phase_one``, with this hook or without it.

    Args:
        allow_untrained: Whether phase two may start without phase one, that is with
            ``phase_one=None``, no ``load_from`` and nothing that ``init_cfg`` has loaded. Default False.

    Raises:
        ValueError: Phase two would start from untrained weights, or the runner passes over ``phase_one``.
    """

    priority = 'HIGHEST'

    def __init__(self, allow_untrained: bool = False):
        check_flag('allow_untrained', allow_untrained)
        self.allow_untrained = allow_untrained

    def before_run(self, runner: Runner) -> None:
        check_runner(runner)
        if not loads_weights(runner.model):  # else it can be told before training alone
            self._check(runner)

    def before_train(self, runner: Runner) -> None:
        if loads_weights(runner.model):
            self._check(runner)

    def _check(self, runner: Runner) -> None:
        if runner._train_loop is None or isinstance(runner._train_loop, dict) or runner._load_from:
            return  # a test, or a start from a given checkpoint
        if not runner.cfg and not recurrent_blocks(runner.model):
            return  # a tool that runs the hooks of a config on a network of its own
        model = unwrapped(runner.model)
        untrained = untrained_first_weights(model, frozen=False) or not recurrent_blocks(model)
        if runner.cfg.get('phase_one') is None and not self.allow_untrained and untrained:
            raise ValueError(
                f'phase two would start from an untrained W_1: {without_weights_for(model)}set load_from or init_cfg '
                'to a checkpoint of phase one, or phase_one to its settings, or allow_untrained=True of PhaseOneHook'
            )


def train_phase_one(runner: Runner, resume: bool) -> None:
    """Trains phase one where its checkpoint is not there yet, and has phase two start from it.

    Phase one is the config of phase two with the entries of its ``phase_one`` put over it, in a
    sub-folder ``phase_one`` of the work directory (``phase_one.work_dir`` sets another). It uses the
    same launcher and processes. Before it is trained, phase two is tried on one batch.

    Args:
        runner: That of phase two, about to train.
        resume: Whether an interrupted phase one is to be resumed.

    Raises:
        ValueError: One of the two phases cannot be trained as its config says, or the folder of phase one holds
            the training of another config.
        FolderInUse: Another process trains phase one in that folder.
    """
    check_known(runner.cfg.phase_one, [*RUNNER_ENTRIES, 'work_dir'], 'phase_one')
    cfg = phase_one_config(runner.cfg, runner.work_dir)
    checkpoint = on_rank_zero(finished_checkpoint, cfg, resume)
    if checkpoint is None:
        with locked_on_rank_zero(cfg.work_dir, runner.logger.warning):
            checkpoint = on_rank_zero(finished_checkpoint, cfg, resume)  # where several share it, it may have ended now
            if checkpoint is None:
                checkpoint = _trained(cfg, runner, resume)
    if checkpoint is None:
        raise RuntimeError(f'phase one in {cfg.work_dir} has not ended, so that phase two cannot start')
    runner._load_from = checkpoint
    runner.logger.info(f'Phase two starts from {checkpoint}')


def _trained(cfg: Config, runner: Runner, resume: bool) -> Optional[str]:
    """Trains phase one; returns the checkpoint that it has ended with."""
    now = copy.deepcopy(cfg)
    now.resume = resume and on_rank_zero(read_record, cfg.work_dir) is not None
    if now.resume:
        now.load_from = None  # it is not started from there again
    with unchanged_random_state():
        _train(now, runner)
    return on_rank_zero(finished_checkpoint, cfg)


def phase_one_config(cfg: Config, work_dir: str) -> Config:
    """The config of phase one: that of phase two with its ``phase_one`` entries put over it.

    Mixed precision asked for in phase two holds for phase one as well.
    """
    settings = copy.deepcopy(cfg.phase_one.to_dict())
    one = Config(copy.deepcopy(cfg.to_dict()))
    whole = ['optim_wrapper', 'param_scheduler']  # keys of phase two must not remain
    if settings.get('train_cfg', {}).get('type', one.train_cfg.get('type')) != one.train_cfg.get('type'):
        whole.append('train_cfg')
    for key in whole:
        if key in settings:
            one.pop(key, None)
    one.merge_from_dict(settings)
    one.phase_one, one.load_from = None, settings.get('load_from')
    one.work_dir = settings.get('work_dir') or osp.join(work_dir, 'phase_one')
    one.experiment_name = f'{osp.basename(osp.normpath(work_dir))}_phase_one'
    one.custom_hooks = [h for h in one.get('custom_hooks') or [] if h['type'] not in ('PhaseOneHook', PhaseOneHook)]
    if cfg.optim_wrapper.get('type') == 'AmpOptimWrapper':
        one.optim_wrapper.type = 'AmpOptimWrapper'
        one.optim_wrapper.setdefault('loss_scale', cfg.optim_wrapper.get('loss_scale', 'dynamic'))
    return one


def _hand_on(outer: Runner, inner: Runner) -> None:
    """Hooks that a command has given to phase two, such as a progress bar, for phase one."""
    for hook in list(outer.hooks):
        if hasattr(hook, 'for_phase_one') and not any(type(own) is type(hook) for own in inner.hooks):
            inner.register_hook(hook.for_phase_one())


def _train(cfg: Config, outer: Runner) -> None:
    """Trains with a runner of its own and then makes the outer one's globals current again."""
    inner = build_runner(cfg)
    try:
        check_entries(cfg, unwrapped(inner.model), 'phase_one.')
        _hand_on(outer, inner)
        if cfg.load_from and ('://' in cfg.load_from or cfg.load_from.startswith('timm::')):
            with naming_addresses(cfg.load_from):  # minutes later it would be out of reach as well
                read_on_rank_zero(cfg.load_from, 'cpu', inner.logger)
        outer.logger.info('Phase two is tried on one batch before phase one is trained')
        try_one_step(outer)
        announce(inner, outer)
        inner.logger.info(f'Phase one starts in {cfg.work_dir}')
        inner.train()
    finally:
        for manager, name in (
            (MMLogger, outer.logger.instance_name),
            (MessageHub, outer.message_hub.instance_name),
            (Visualizer, outer.visualizer.instance_name),
            (DefaultScope, outer.default_scope.instance_name),
        ):
            manager._instance_dict.move_to_end(name)
