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
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.visualization import Visualizer

from kaizen_mm.openmmlab.cli import build_runner


@HOOKS.register_module()
class PhaseOneHook(Hook):
    """Trains phase one before phase two where its checkpoint is not there yet.

    Phase one is the config of phase two with the entries of its ``phase_one`` put over it, in a
    sub-folder ``phase_one`` of the work directory (``phase_one.work_dir`` sets another). It uses the
    same launcher and processes. Nothing is trained where ``load_from`` names a checkpoint, where
    phase one is complete, or where phase two is resumed; an interrupted phase one is
    resumed with ``--resume``.

    Args:
        allow_untrained: Whether phase two may start without phase one, that is with
            ``phase_one=None`` and no ``load_from``. Default False.

    Raises:
        ValueError: Phase two would start from untrained weights.
    """

    priority = 'HIGHEST'

    def __init__(self, allow_untrained: bool = False):
        self.allow_untrained = allow_untrained

    def before_run(self, runner: Runner) -> None:
        if runner._train_loop is None or isinstance(runner._train_loop, dict) or runner._load_from:
            return  # a test, or a start from a given checkpoint
        if runner._resume and find_latest_checkpoint(runner.work_dir):
            return
        if runner.cfg.get('phase_one') is None:
            if self.allow_untrained:
                return
            raise ValueError('phase two would start from an untrained W_1: set load_from to a checkpoint of phase '
                             'one, or phase_one to its settings, or allow_untrained=True of PhaseOneHook')
        cfg = phase_one_config(runner.cfg, runner.work_dir)
        if finished_checkpoint(cfg) is None:
            cfg.resume = runner._resume
            runner.logger.info(f'Phase one starts in {cfg.work_dir}')
            _train(cfg, runner)
        runner._load_from = finished_checkpoint(cfg)
        # phase two starts new, it does not resume phase one
        runner._resume = False
        runner.logger.info(f'Phase two starts from {runner._load_from}')


def phase_one_config(cfg: Config, work_dir: str) -> Config:
    """The config of phase one: that of phase two with its ``phase_one`` entries put over it.

    Mixed precision asked for in phase two holds for phase one as well.
    """
    settings = copy.deepcopy(cfg.phase_one.to_dict())
    one = Config(copy.deepcopy(cfg.to_dict()))
    for key in ('optim_wrapper', 'param_scheduler'):  # whole: keys of phase two must not remain
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


def finished_checkpoint(cfg: Config) -> Optional[str]:
    """The last epoch's checkpoint of a training that has ended; None where it has not.

    mmengine names a checkpoint as the last one only after it is written, so that one cut off
    by a crash does not count.
    """
    latest = find_latest_checkpoint(cfg.work_dir)
    if latest is None or osp.basename(latest) != f'epoch_{cfg.train_cfg.max_epochs}.pth':
        return None
    path = osp.join(cfg.work_dir, osp.basename(latest))  # the folder may have been moved
    return path if osp.isfile(path) else None


def _train(cfg: Config, outer: Runner) -> None:
    """Trains with a runner of its own and then makes the outer one's globals current again."""
    build_runner(cfg).train()
    for manager, name in ((MMLogger, outer.logger.instance_name), (MessageHub, outer.message_hub.instance_name),
                          (Visualizer, outer.visualizer.instance_name),
                          (DefaultScope, outer.default_scope.instance_name)):
        manager._instance_dict.move_to_end(name)
