"""A runner whose log begins with a few lines.

mmengine's runner logs the environment, the whole config, all hooks and the options of every parameter before the first
iteration, close to a thousand lines. Here they go to a file beside the log.
"""

import functools
import logging
import os.path as osp
import re
from typing import Optional
from unittest import mock

import mmengine
import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from mmengine.model import BaseModule
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, runner
from torch.utils.data import DataLoader

from kaizen_mm.data.workers import default_workers

DETAILS = 'details.txt'
# how the messages begin that are for looking something up, not for reading along
_FOR_DETAILS = (
    '\n-----',
    'Config:',
    'Hooks will be executed',
    'paramwise_options --',
    'Exp name:',
    '"FileClient" will be',
    '"HardDiskBackend" is',
    'Distributed training is not used, all SyncBatchNorm',
)
_FROZEN = 'is skipped since its requires_grad=False'  # W_1
_MISMATCH = 'The model and loaded state dict do not match exactly'


@RUNNERS.register_module()
class TidyLogRunner(Runner):
    """mmengine's ``Runner``, with environment, config, hooks and options of parameters in ``details.txt`` beside the
    log.

    Data loaders have as many workers as there are cores where a config leaves ``num_workers`` out.

    Tensors that a checkpoint lacks, such as all of ``h`` in one of phase one, are told in one line. A line of the log
    begins with date and time.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler.formatter, MMFormatter):
                handler.formatter.info_format = '%(asctime)s  %(message)s'
                handler.formatter.datefmt = '%m/%d %H:%M:%S'
        logger.addFilter(DetailsFilter(osp.join(self.log_dir, DETAILS)))
        return logger

    @staticmethod
    def build_dataloader(dataloader, seed: Optional[int] = None, diff_rank_seed: bool = False) -> DataLoader:
        """A data loader of a config without ``num_workers`` has :func:`~kaizen_mm.data.workers.default_workers`."""
        if isinstance(dataloader, dict):
            dataloader = {'num_workers': default_workers(), **dataloader}
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

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

    def _init_model_weights(self) -> None:
        # mmengine writes how every parameter was initialized straight into the file of the log
        with mock.patch.object(BaseModule, '_dump_init_info', self._dump_init_info(BaseModule._dump_init_info)):
            super()._init_model_weights()

    def _dump_init_info(self, dump):

        def to_details(module):
            handlers = self.logger.handlers
            details = logging.FileHandler(osp.join(self.log_dir, DETAILS))
            try:
                self.logger.handlers = [details]
                dump(module)
            finally:
                self.logger.handlers = handlers
                details.close()

        return to_details

    def load_checkpoint(self, *args, **kwargs) -> dict:
        # mmengine prints what does not match; given the logger, the filter can put it into one line
        load = functools.partial(runner._load_checkpoint_to_model, logger=self.logger)
        with mock.patch.object(runner, '_load_checkpoint_to_model', load):
            return super().load_checkpoint(*args, **kwargs)


class DetailsFilter(logging.Filter):
    """Takes what is long out of a log and writes it to a file, of the first process alone.

    Args:
        path: The file.
    """

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(_MISMATCH):
            self._write(message)
            record.msg, record.args = _in_one_line(message), ()
            if 'as expected' in record.msg:
                record.levelno, record.levelname = logging.INFO, 'INFO'
        elif message.startswith(_FOR_DETAILS) or message.endswith(_FROZEN):
            self._write(message)
            return False
        return True

    def _write(self, message):
        if is_main_process():
            with open(self.path, 'a', encoding='utf-8') as file:
                file.write(f'{message.strip()}\n\n' if '\n' in message else f'{message}\n')


def _in_one_line(message: str) -> str:
    """``h`` is what a checkpoint of phase one lacks; anything else is worth a warning."""
    listed = {
        kind: keys.split(', ')
        for kind, keys in re.findall(r'(unexpected key|missing keys) in source state_dict: (.*)', message)
    }
    missing, unexpected = listed.get('missing keys', []), listed.get('unexpected key', [])
    h = [key for key in missing if '.adapter.' in f'.{key}']
    if h and len(h) == len(missing) and not unexpected:
        places = sorted({key.partition('.adapter.')[0] for key in h})
        return (
            f'The checkpoint has no h, as expected of phase one: {", ".join(places)}.adapter starts new ({len(h)} '
            f'tensors)'
        )
    return (
        f'The checkpoint lacks {len(missing)} tensors of the network{_first(missing)} and has {len(unexpected)} others'
        f'{_first(unexpected)}; all are listed in {DETAILS}'
    )


def _first(keys) -> str:
    return f' ({", ".join(keys[:2])}{", ..." if len(keys) > 2 else ""})' if keys else ''
