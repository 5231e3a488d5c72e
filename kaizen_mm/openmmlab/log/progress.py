"""A progress bar for trainings whose log goes to a file alone."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows the progress of a training or a test as one bar with the remaining time."""

    def before_train(self, runner) -> None:
        self._start('training', runner.max_iters, runner.iter)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._progress.update(self._task, completed=runner.iter + 1)

    def after_train(self, runner) -> None:
        self._progress.stop()

    def before_test(self, runner) -> None:
        self._start('test', len(runner.test_dataloader), 0)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._progress.advance(self._task)

    def after_test(self, runner) -> None:
        self._progress.stop()

    def _start(self, description, total, done):
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
