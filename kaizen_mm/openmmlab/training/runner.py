"""One place that builds runners."""

import inspect

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, Runner

# What a runner reads of a config
RUNNER_ENTRIES = tuple(
    name for name in inspect.signature(Runner.__init__).parameters if name not in ('self', 'cfg')
) + (
    'runner_type',
    'model_wrapper_cfg',
    'compile',
    'activation_checkpointing',
    'efficient_conv_bn_eval',
    'custom_imports',
    'tta_model',
    'tta_pipeline',
)


OURS = 'KaizenRunner'
PHASE_ONE_NEEDS = (
    f"the config has phase_one, which runner_type={{!r}} would pass over: add the line runner_type = '{OURS}' to it"
)


def build_runner(cfg: Config) -> Runner:
    """The runner that the config asks for; where it asks for none, ours.

    Raises:
        ValueError: The config has a phase one, and its runner would pass over that.
    """
    kind = cfg.get('runner_type', OURS)
    known = RUNNERS.get(kind) if isinstance(kind, str) else kind
    if cfg.get('phase_one') is not None and known is not None and not getattr(known, 'trains_phase_one', False):
        raise ValueError(PHASE_ONE_NEEDS.format(kind if isinstance(kind, str) else kind.__name__))
    return RUNNERS.build(cfg) if 'runner_type' in cfg else known.from_cfg(cfg)


def check_runner(runner: Runner) -> None:
    """For hooks of ours: whether a runner that trains does so with the phase one that its config has.

    Raises:
        ValueError: It does not.
    """
    trains = isinstance(runner._train_loop, BaseLoop)  # built by then; what tests or extracts features needs no phase
    if trains and runner.cfg.get('phase_one') is not None and not getattr(runner, 'trains_phase_one', False):
        raise ValueError(PHASE_ONE_NEEDS.format(type(runner).__name__))
