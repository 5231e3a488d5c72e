"""The log of a training, and what goes to other files than the log."""

import json
import logging
import re

import pytest

from kaizen_mm.openmmlab.log.log_processor import COLUMNS, WIDTH, iterates_table, training_line
from kaizen_mm.openmmlab.log.tidy_log import DETAILS, DetailsFilter


def logged(iterates: int) -> dict:
    values = dict(
        lr=1e-4, base_lr=1e-4, data_time=0.1, time=0.3, grad_norm=3.0, loss=1.937, loss_cls=1.937, epoch=5, iter=140
    )
    for i in range(1, iterates + 1):
        values[f'iterate_{i}_ce'] = 1.98 - i / 100
        values['top1_acc' if i == iterates else f'iterate_{i}_top1_acc'] = 0.4 + i / 100
        values['top5_acc' if i == iterates else f'iterate_{i}_top5_acc'] = 0.7
    for i in range(2, iterates + 1):
        values.update(
            {
                f'iterate_{i}_worse': 0.05 * (i - 2),
                f'iterate_{i}_weight_change': 0.1 * i,
                f'iterate_{i}_logit_change': 4e-3,
                f'iterate_{i}_prediction_change': 0.01,
            }
        )
    return values


def test_a_line_has_what_a_person_reads():
    assert training_line('[5][140/157]', ' 01:15', logged(3)) == (
        '[5][140/157] 01:15  loss 1.94  ce 1.970 1.960 1.950  acc 41 42 43  worse 0 5  dW .20 .30  dy 4e-3 4e-3'
    )
    assert training_line('[5][1/2]', '', dict(loss=1.5, top1_acc=0.25, lr=0.1)) == '[5][1/2]  loss 1.50  acc 25'
    assert training_line(
        '[5]', '', {'loss': 0.0, 'a/iterate_2_weight_change': 0.0, 'b/iterate_2_weight_change': 0.5}
    ) == ('[5]  loss 0.00  a dW .00  b dW .50')
    assert training_line(
        '[5]', '', dict(loss=0.0678, iterate_1_ce=0.1804, iterate_2_ce=0.0678, iterate_3_ce=0.0051)
    ) == ('[5]  loss 0.068  ce 0.180 0.068 0.0051')
    assert 'loss_cls 1.00  loss_aux 0.50' in training_line('', '', dict(loss=1.5, loss_cls=1.0, loss_aux=0.5))


@pytest.mark.parametrize('iterates', [2, 3, 4, 8])
@pytest.mark.parametrize('where, left', [('[5][140/157]', ' 01:15'), ('[100][10000/20000]', ' 1 day, 11:15:20')])
def test_no_line_is_wider_than_the_terminal(iterates, where, left):
    line = training_line(where, left, logged(iterates))
    assert len(line) <= WIDTH and '1.97' in line and f'{1.98 - iterates / 100:.2f}' in line
    assert ('..' in line) == (iterates > 3 or (iterates == 3 and len(where) > 15)), (
        'iterates are left out for want of room alone'
    )


def test_a_validation_is_one_small_table():
    values = {
        'acc/video_top1': 0.75,
        'acc/iterate_1/video_top1': 0.5,
        'acc/iterate_2/video_top1': 0.75,
        'time': 0.1,
        'other': 3,
    }
    lines = iterates_table(values).splitlines()
    assert lines[0] == '  other: 3' and [line.split() for line in lines[1:]] == [
        ['iterate', 'acc/video_top1'],
        ['1', '0.5000'],
        ['2', '0.7500'],
    ]
    assert iterates_table({'accuracy/top1': 50.0}) == '  accuracy/top1: 50.0000'
    assert len(iterates_table({f'accuracy/of_many_{i}': 1.0 for i in range(5)}).splitlines()) == 3, (
        'too long for a line'
    )


@pytest.mark.slow
def test_a_training_logs_little_and_keeps_all(watched):
    (folder,) = (path for path in watched.glob('2*') if path.is_dir())
    (log,) = folder.glob('*.log')
    lines = log.read_text().splitlines()
    assert len(lines) < 30, '\n'.join(lines)
    assert not [line for line in lines if len(line) > COLUMNS and str(watched) not in line and DETAILS not in line]
    assert not [
        line for line in lines if 'paramwise' in line or 'do not match' in line or 'dict(' in line or 'skipped' in line
    ]
    (expected,) = [line for line in lines if 'starts new' in line]
    assert (
        'The checkpoint has no h, as expected of phase one: backbone.conv5.B02.adapter starts new (2 tensors)'
        in expected
    )
    intervals = [line for line in lines if re.search(r'\[\d\]\[4/4\] .* loss ', line)]
    assert len(intervals) == 2, 'one line an interval'
    parts = dict(part.split(' ', 1) for part in intervals[1].split('  ')[2:])
    numbers = {name: len(values.split()) for name, values in parts.items()}
    assert numbers == dict(loss=1, ce=3, acc=3, worse=2, dW=2, dy=2), intervals[1]
    table = next(i for i, line in enumerate(lines) if line.startswith('iterate '))
    assert [line.split()[0] for line in lines[table + 1 : table + 4]] == ['1', '2', '3']
    assert 'Epoch(val) [1][1/1]' in lines[table - 1] and 'acc/' not in lines[table - 1]

    details = (folder / DETAILS).read_text()
    for text in (
        'System environment',
        'Config:',
        'paramwise_options -- backbone.conv5.B02.adapter.linears.0.weight',
        'Hooks will be executed',
        'do not match exactly',
        'is skipped since its requires_grad=False',
        'Initialized by',
    ):
        assert text in details
    rows = [json.loads(line) for line in (folder / 'vis_data' / 'scalars.json').read_text().splitlines()]
    training = [row for row in rows if 'loss' in row]
    assert {
        'lr',
        'grad_norm',
        'iterate_2_worse',
        'iterate_3_prediction_change',
        'iterate_1_top1_acc',
        'time',
    } <= training[-1].keys()
    assert 0 <= training[-1]['iterate_2_worse'] <= 1 and len(rows) == 4


def test_phase_one_is_as_tidy(watched):
    (log,) = (watched / 'phase_one').glob('2*/*.log')
    lines = log.read_text().splitlines()
    assert len(lines) < 25, '\n'.join(lines)
    assert not any('A line: epoch' in line for line in lines), 'what has no iterates needs no explanation of them'
    assert re.search(r'loss \d\.\d\d  acc \d+$', next(line for line in lines if '[2][4/4]' in line))


@pytest.mark.parametrize(
    'message, shown, level',
    [
        (
            'missing keys in source state_dict: a.adapter.linears.0.weight, b.adapter.linears.0.weight\n',
            'The checkpoint has no h, as expected of phase one: a, b.adapter starts new (2 tensors)',
            logging.INFO,
        ),
        (
            'missing keys in source state_dict: a.adapter.linears.0.weight, fc.weight\n',
            'The checkpoint lacks 2 tensors of the network (a.adapter.linears.0.weight, fc.weight) and has 0 others; '
            'all are listed in details.txt',
            logging.WARNING,
        ),
        (
            'unexpected key in source state_dict: x, y, z\n\nmissing keys in source state_dict: '
            'a.adapter.linears.0.weight\n',
            'The checkpoint lacks 1 tensors of the network (a.adapter.linears.0.weight) and has 3 others (x, y, '
            '...); all are listed in details.txt',
            logging.WARNING,
        ),
    ],
)
def test_what_a_checkpoint_lacks_is_said_in_one_line(tmp_path, message, shown, level):
    details = DetailsFilter(str(tmp_path / DETAILS))
    whole = f'The model and loaded state dict do not match exactly\n\n{message}'
    record = logging.LogRecord('mmengine', logging.WARNING, '', 0, whole, (), None)
    assert details.filter(record) and record.getMessage() == shown and record.levelno == level
    assert message.strip() in (tmp_path / DETAILS).read_text()


def test_other_messages_stay_as_they_are(tmp_path):
    details = DetailsFilter(str(tmp_path / DETAILS))
    record = logging.LogRecord('mmengine', logging.WARNING, '', 0, 'Config %s', ('is fine',), None)
    assert details.filter(record) and record.getMessage() == 'Config is fine' and not (tmp_path / DETAILS).exists()
