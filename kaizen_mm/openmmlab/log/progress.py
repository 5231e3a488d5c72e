"""A progress bar of each phase, below the log on a terminal or in its place."""

import atexit
import logging
import sys

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows the progress of a training or a test as one bar with the remaining time.

    Args:
        training: What stands before the bar of a training.
        terminal_only: Whether nothing is shown where the output is no terminal. Default False.
    """

    def __init__(self, training: str = 'training', terminal_only: bool = False):
        self.training, self.terminal_only = training, terminal_only
        self._progress = None
        self._handlers = []

    def for_phase_one(self) -> Hook:
        """The hook of phase one, where this one is that of phase two."""
        self.training = 'phase two'
        return ProgressBarHook('phase one', self.terminal_only)

    def before_train(self, runner) -> None:
        self._start(runner, self.training, runner.max_iters, runner.iter)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=runner.iter + 1)

    def after_train(self, runner) -> None:
        self._stop()

    def before_test(self, runner) -> None:
        self._start(runner, 'test', len(runner.test_dataloader), 0)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self._progress is not None:
            self._progress.advance(self._task)

    def after_test(self, runner) -> None:
        self._stop()

    def _start(self, runner, description, total, done):
        if not is_main_process() or (self.terminal_only and not sys.stdout.isatty()):
            return
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            TextColumn('{task.percentage:3.0f} %'),
            TimeElapsedColumn(),
            TextColumn('left'),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task(description, total=total, completed=done)
        self._progress.start()
        atexit.register(self._progress.stop)  # of a training that fails: the cursor comes back
        # lines of the log go above the bar
        for handler in runner.logger.handlers:
            if type(handler) is logging.StreamHandler:
                self._handlers.append((handler, handler.setStream(sys.stdout)))

    def _stop(self):
        for handler, stream in self._handlers:
            if stream is not None:
                handler.setStream(stream)
        self._handlers = []
        if self._progress is not None:
            self._progress.stop()
            atexit.unregister(self._progress.stop)
            self._progress = None
