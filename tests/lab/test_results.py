"""Records of results are checked when they are read."""

import json

import pytest

from kaizen_mm.lab.results import read_result, write_result


def record(**changes) -> dict:
    metrics = {
        'acc/video_top1': 0.5,
        'acc/iterate_1/video_top1': 0.25,
        'acc/iterate_2/video_top1': 0.5,
        'acc/video_top5': 1.0,
        'mean_loss': -3.5,
    }
    return dict(
        dict(metrics=metrics, parameters=880, trained_parameters=800, epochs=2, seconds=1.5, seconds_test=0), **changes
    )


def metrics(**changes) -> dict:
    return record(metrics={**record()['metrics'], **{k.replace('__', '/'): v for k, v in changes.items()}})


def test_a_record_is_read_as_it_is(tmp_path):
    path = tmp_path / 'result.json'
    for content in (record(), record(training='id', epochs=None), record(metrics={'accuracy/top1': 100.0})):
        path.write_text(json.dumps(content))
        assert read_result(path) == content


@pytest.mark.parametrize(
    'content, message',
    [
        ('', 'is damaged'),
        ('{"metrics": {', 'is damaged'),
        (b'\xff\xfe\x00', 'is damaged'),
        ([], 'the record must be a dict, got list'),
        ({}, 'metrics is missing'),
        ({k: v for k, v in record().items() if k != 'seconds'}, 'seconds is missing'),
        (record(parameters='many'), "parameters must be an int >= 1, got 'many'"),
        (record(trained_parameters=881), 'trained_parameters must be an int from 0 to 880, got 881'),
        (record(epochs=0), 'epochs must be an int >= 1, got 0'),
        (record(seconds=float('nan')), 'seconds must be a finite number >= 0, got nan'),
        (record(metrics=[50.0]), r'metrics must be a dict of numbers, got \[50.0\]'),
        (record(metrics={}), 'metrics must be a dict of numbers'),
        (metrics(acc__video_top5=999), r"metrics\['acc/video_top5'\] must be a number from 0 to 1.0, got 999"),
        (
            record(metrics={'accuracy/top1': 999}),
            r"metrics\['accuracy/top1'\] must be a number from 0 to 100.0, got 999",
        ),
        (metrics(acc__iterate_1__video_top1='0.5'), r"metrics\['acc/iterate_1/video_top1'\] must be a number .*'0.5'"),
        (metrics(acc__iterate_1__video_top1=None), 'must be a number .*None'),
        (metrics(mean_loss=float('inf')), r"metrics\['mean_loss'\] must be a finite number"),
        (metrics(acc__video_top1=0.75), r"metrics\['acc/video_top1'\] must be that of the last iterate, got 0.75"),
        (record(right='0101'), 'right must be a list of strings of 0 and 1, equally long'),
        (record(right=['01', '011']), 'equally long'),
        (record(right=['01', '0x']), 'strings of 0 and 1'),
        (record(right=[]), 'right must be'),
        (record(metrics={'acc/iterate_1/video_top1': 0.5}), r"metrics\['acc/video_top1'\] is missing"),
    ],
)
def test_what_no_test_can_give_is_an_error_that_names_file_and_field(tmp_path, content, message):
    path = tmp_path / 'result.json'
    path.write_bytes(
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    with pytest.raises(ValueError, match=f'{path}.*{message}.*remove'):
        read_result(path)


def test_an_edit_that_a_test_could_give_is_found(tmp_path):
    path = tmp_path / 'result.json'
    written = record(training='id', test='test')
    write_result(path, written)
    assert read_result(path) == written
    for edited in (
        path.read_text().replace('0.25', '0.75'),
        path.read_text().replace('"acc/iterate_1/video_top1": 0.25,', ''),
    ):
        assert edited != path.read_text()
        path.with_name('edited.json').write_text(edited)
        with pytest.raises(ValueError, match='edited.json: its content is not what was written; remove'):
            read_result(path.with_name('edited.json'))
