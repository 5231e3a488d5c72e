"""A ``phase_one`` that another runner passes over: the parts of the network find it out.

The stock tools of mmaction2 and mmpretrain build mmengine's own runner from a config without ``runner_type``, and that
runner knows nothing of ``phase_one``. Where such a config names no hook of this package either, the network is all of
it that is left.
"""

import ast
import functools
from typing import Optional

import torch
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from kaizen_mm.config_files import written_entry
from kaizen_mm.openmmlab.training.runner import PHASE_ONE_NEEDS

_TRAINED = 'trains_phase_one'


def trains_phase_one(runner: Runner) -> None:
    """Makes known that a runner, which is about to train, does not pass over the phase one of its config."""
    # told by update_info, every training that resumes would warn that it is not resumed
    runner.message_hub.runtime_info[_TRAINED] = True


def check_not_passed_over() -> None:
    """For parts of a network, in training: whether the runner that trains them has passed over a phase one.

    mmengine's ``RuntimeInfoHook``, which every runner has unless a config takes it away, tells what is trained.

    Raises:
        ValueError: It has. The message names the line that the config needs.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return
    hub = MessageHub.get_current_instance()
    told = hub.runtime_info
    if told.get('loop_stage') != 'train' or told.get(_TRAINED):
        return
    runner = _passes_over(told.get('cfg', ''))
    if runner is not None:
        hub.pop_info('loop_stage')  # it ends here
        raise ValueError(PHASE_ONE_NEEDS.format(runner))


@functools.lru_cache(maxsize=4)
def _passes_over(config: str) -> Optional[str]:
    """The name of the runner of a config, as mmengine writes it, that has a phase one; None where it has none."""
    one, runner = written_entry(config, 'phase_one'), written_entry(config, 'runner_type')
    if one is None or (isinstance(one, ast.Constant) and one.value is None):
        return None
    return runner.value if isinstance(runner, ast.Constant) else Runner.__name__
