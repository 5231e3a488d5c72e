"""Log lines that a person can read: one line per interval, one small table per validation."""

import datetime
import re
from io import StringIO
from typing import Mapping, Sequence, Tuple

from mmengine.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor
from rich.console import Console
from rich.table import Table

from kaizen_mm.openmmlab.log.by_iterate import by_iterate

COLUMNS = 120
WIDTH = COLUMNS - len('12/31 23:59:59  ')  # what KaizenRunner puts before a line
_AVERAGED = re.compile(r'loss|time|grad_norm|_ce$|_criterion$|_worse$|_acc$')
LEGEND = (
    'A line: epoch and iteration, time left, loss; then by iterate cross entropy (ce), accuracy in % (acc),',
    '% of batches worse than in the iterate before (worse), change of weights (dW), of logits (dy)',
)


@LOG_PROCESSORS.register_module()
class IterateLogProcessor(LogProcessor):
    """mmengine's ``LogProcessor`` with lines of at most 120 columns.

    A line of training has the time left and the loss. For every iterate it has the cross entropy, the accuracy in
    percent, and the share of batches of the window in which it was worse than the iterate before. It has the changes of
    weights and logits that ``RecurrenceHook`` has seen last. A validation or test is a table with a row for each
    iterate. Everything else (rates, norms of gradients, times) is in ``scalars.json`` alone.

    Args:
        window_size: Iterations over which losses, accuracies and shares are averaged. Default 20.
        kwargs: Those of ``LogProcessor``.
    """

    def __init__(self, window_size: int = 20, **kwargs):
        super().__init__(window_size=window_size, **kwargs)
        self._explained = False

    def get_log_after_iter(self, runner, batch_idx: int, mode: str) -> Tuple[dict, str]:
        if mode != 'train':
            return super().get_log_after_iter(runner, batch_idx, mode)
        stock, self.mean_pattern = (
            self.mean_pattern,
            _AVERAGED,
        )  # in training alone: a validation is not the mean of the last ones
        try:
            tag, _ = super().get_log_after_iter(runner, batch_idx, mode)
        finally:
            self.mean_pattern = stock
        values = {self._remove_prefix(name, 'train/'): value for name, value in tag.items()}
        if not self._explained and by_iterate(values)[0]:
            self._explained = True
            for line in LEGEND:
                runner.logger.info(line)
        size = self._get_dataloader_size(runner, mode) if self.by_epoch else runner.max_iters
        where = f'[{self._get_iter(runner, batch_idx)}/{size}]'
        if self.by_epoch:
            where = f'[{self._get_epoch(runner, mode)}]'.rjust(len(str(runner.max_epochs)) + 2) + where
        left = runner.message_hub.runtime_info.get('eta')
        left = '' if left is None else f' {str(datetime.timedelta(seconds=int(left))).removeprefix("0:")}'
        return tag, training_line(where, left, values)

    def get_log_after_epoch(self, runner, batch_idx: int, mode: str, with_non_scalar: bool = False) -> Tuple[dict, str]:
        tag, _ = super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
        size = self._get_dataloader_size(runner, mode)
        where = f'[{size}/{size}]'
        if mode == 'val' and self.by_epoch:
            where = f'[{self._get_epoch(runner, mode)}]{where}'
        values = {self._remove_prefix(name, f'{mode}/'): value for name, value in tag.items()}
        where = f'{"Epoch" if self.by_epoch else "Iter"}({mode}) {where}'
        return tag, where + iterates_table(values, WIDTH - len(where))


def training_line(where: str, left: str, values: Mapping[str, float], width: int = WIDTH) -> str:
    """One line of a training.

    Args:
        where: Epoch and iteration, what it begins with.
        left: The time left, which follows.
        values: The logged values by name.
        width: Columns; where a line would be longer, losses lose a digit, then the first and the last iterate alone are
            shown, and then the time left is not.
    """
    groups, rest = by_iterate(values)
    losses = {name: value for name, value in rest.items() if 'loss' in name}
    if len(losses) == 2 and 'loss' in losses:  # the total, and the only one that it is made of
        losses = {'loss': losses['loss']}
    for digits, short, left in ((3, False, left), (2, False, left), (2, True, left), (2, True, '')):
        parts = [where + left]
        parts += [f'{name} {_number(value, 2)}' for name, value in losses.items()]
        for name, label, text in _COLUMNS:
            for found, label in _found(groups, rest, name, label):
                parts.append(f'{label} {_row([text(value, digits) for value in found.values()], short)}')
        line = '  '.join(parts)
        if len(line) <= width:
            break
    return line


def iterates_table(values: Mapping[str, object], width: int = WIDTH) -> str:
    """What a validation or test gives: one row for each iterate; of one iterate a line, where ``width`` columns hold
    it."""
    groups, rest = by_iterate({name: value for name, value in values.items() if name not in ('time', 'data_time')})
    text = ''.join(f'  {name}: {_metric(value)}' for name, value in rest.items())
    if not groups and len(text) <= width:
        return text
    if not groups:
        groups, text = {name: {1: value} for name, value in rest.items()}, ''
    table = Table('iterate', *groups, box=None, pad_edge=False)
    for column in table.columns:
        column.justify = 'right'
    for number in sorted({number for group in groups.values() for number in group}):
        table.add_row(str(number), *(_metric(group.get(number, '')) for group in groups.values()))
    output = StringIO()
    Console(file=output, width=COLUMNS, color_system=None).print(table)
    return f'{text}\n{output.getvalue().rstrip()}'


def _found(groups, rest, name, label):
    """The rows of a name, of every block where several are logged; of a plain network the one value."""
    names = [key for key in groups if key == name or key.endswith(f'/{name}')]
    if not names and name in rest:
        return [({1: rest[name]}, label)]
    return [(groups[key], label if key == name else f'{key[: -len(name) - 1]} {label}') for key in names]


def _row(values: Sequence[str], short: bool) -> str:
    return f'{values[0]}..{values[-1]}' if short and len(values) > 2 else ' '.join(values)


def _number(value: float, digits: int) -> str:
    return f'{value:.{digits}f}' if abs(value) >= 10 ** (1 - digits) or value == 0 else f'{value:.2g}'


def _change(value: float, digits: int) -> str:
    return f'{value:.2f}'.removeprefix('0') if value >= 0.01 or value == 0 else f'{value:.0e}'.replace('e-0', 'e-')


def _percent(value: float, digits: int) -> str:
    return f'{100 * value:.0f}'


def _metric(value) -> str:
    return f'{value:.4f}' if isinstance(value, float) else str(value)


# name in the log, label in the line, and how a value is written
_COLUMNS = (
    ('ce', 'ce', _number),
    ('criterion', 'ce', _number),
    ('top1_acc', 'acc', _percent),
    ('worse', 'worse', _percent),
    ('weight_change', 'dW', _change),
    ('logit_change', 'dy', _change),
)
