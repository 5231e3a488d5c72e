"""What a training or a test ends with: whether the iterations of the network do anything."""

import os.path as osp
from typing import List, Optional

from mmengine.dist import collect_results, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from kaizen_mm.openmmlab.ranking import iterates_right
from kaizen_mm.openmmlab.training.record import read_record
from kaizen_mm.text import printable
from kaizen_mm.uncertainty import iterates_verdict


@HOOKS.register_module()
class VerdictHook(Hook):
    """Logs one line at the end of a training, of its last validation, and at the end of a test: what the iterations
    change, iterate by iterate, with the uncertainty of pairs of samples, and the command that shows which samples.

    The sentence is that of the report, :func:`~kaizen_mm.uncertainty.iterates_verdict`. Of data without single labels
    nothing is said.
    """

    priority = 'LOWEST'

    def __init__(self):
        self._right: Optional[List[List[bool]]] = []  # of this process, of each sample, of each iterate
        self._all: Optional[List[List[bool]]] = None  # of all processes, once an epoch has ended

    def before_val_epoch(self, runner) -> None:
        self._right, self._all = [], None

    before_test_epoch = before_val_epoch

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        for sample in outputs or ():
            right = iterates_right(sample)
            if self._right is None or right is None:
                self._right = None
                return
            self._right.append(right)

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner, metrics=None) -> None:
        self._collect(len(runner.val_dataloader.dataset))

    def after_test_epoch(self, runner, metrics=None) -> None:
        self._collect(len(runner.test_dataloader.dataset))

    def after_train(self, runner) -> None:
        if not is_main_process():
            return
        record = read_record(runner.work_dir)
        checkpoint = record.checkpoint if record is not None and record.checkpoint else 'CHECKPOINT'
        config = _short(osp.join(runner.work_dir, osp.basename(runner.cfg.filename or 'CONFIG')))
        checkpoint = _short(osp.join(runner.work_dir, checkpoint))
        if runner.val_loop is None:
            line = f'was not validated, so what the iterations change is not known: kaizen-test {config} {checkpoint}'
            runner.logger.info(printable(f'The network {line}'))
        else:
            self._say(runner, 'validation', config, checkpoint)

    def after_test(self, runner) -> None:
        if is_main_process():
            self._say(runner, 'test', runner.cfg.filename or 'CONFIG', runner._load_from or 'CHECKPOINT')

    def _collect(self, size: int) -> None:
        found = collect_results([] if self._right is None else self._right, size, 'gpu')  # needs no common folder
        self._all = found or None

    def _say(self, runner, data: str, config: str, checkpoint: str) -> None:
        if self._all is None:
            return
        where = ''
        if len(self._all[0]) > 1:
            where = f' Which samples: kaizen-report {config} {checkpoint}; where it helps: docs/when_it_helps.md'
        runner.logger.info(printable(f'On {data} data: {iterates_verdict(self._all)}{where}'))


def _short(path: str) -> str:
    """A path as one types it: relative to the current folder where it is in that."""
    relative = osp.relpath(path)
    return path if relative.startswith(osp.pardir) else relative
