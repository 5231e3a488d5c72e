"""One place that builds runners."""

import inspect

from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

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


def build_runner(cfg: Config) -> Runner:
    """The runner that the config asks for."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
