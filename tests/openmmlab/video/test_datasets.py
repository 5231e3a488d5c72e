"""Lists with faults are refused before training, broken videos are named."""
import pytest
from mmaction.registry import DATASETS
from mmengine.registry import init_default_scope

PIPELINE = [dict(type='DecordInit'), dict(type='SampleFrames', clip_len=4), dict(type='DecordDecode'),
            dict(type='FormatShape', input_format='NCTHW'), dict(type='PackActionInputs')]


@pytest.fixture
def build(digits, tmp_path):
    init_default_scope('mmaction')

    def build(text=None, **kwargs):
        ann_file = tmp_path / 'list.txt'
        ann_file.write_text((digits / 'train.txt').read_text() if text is None else text)
        return DATASETS.build({**dict(type='VideoListDataset', ann_file=str(ann_file), num_classes=8,
                                      data_prefix=dict(video=str(digits / 'videos')), pipeline=PIPELINE), **kwargs})

    return build


def test_a_good_list(build, digits):
    dataset = build()
    assert len(dataset) == 16
    lines = (digits / 'train.txt').read_text().splitlines()
    for index in (0, 15):
        item = dataset[index]
        assert item['inputs'].shape == (1, 3, 4, 32, 32)
        assert int(item['data_samples'].gt_label) == int(lines[index].split()[1])


def test_blank_lines_are_passed_over_and_names_may_hold_spaces(build, digits, tmp_path):
    (tmp_path / 'a clip.mp4').write_bytes((digits / 'videos' / 'train_00000.mp4').read_bytes())
    dataset = build('\na clip.mp4 3\n\n', data_prefix=dict(video=str(tmp_path)))
    assert len(dataset) == 1 and int(dataset[0]['data_samples'].gt_label) == 3


@pytest.mark.parametrize('text, message', [
    ('train_00000.mp4 0\ntrain_00001.mp4 8\n', r'list.txt:2: label 8 .* from 0 to 7'),
    ('train_00000.mp4 -1\n', r'list.txt:1: expected "file label"'),
    ('train_00000.mp4 cat\n', r'list.txt:1: expected "file label"'),
    ('train_00000.mp4\n', r'list.txt:1: expected "file label"'),
    ('\n', 'lists no video'),
])
def test_faulty_lists(build, text, message):
    with pytest.raises(ValueError, match=message):
        build(text)


def test_missing_files(build):
    with pytest.raises(FileNotFoundError, match=r"1 of 2 videos .* missing.*none.mp4"):
        build('none.mp4 0\ntrain_00000.mp4 1\n')
    with pytest.raises(FileNotFoundError, match='ann_file: no file nowhere.txt'):
        build(ann_file='nowhere.txt')


def test_a_truncated_video_is_named(build, digits, tmp_path):
    whole = (digits / 'videos' / 'train_00000.mp4').read_bytes()
    (tmp_path / 'cut.mp4').write_bytes(whole[:len(whole) // 2])
    dataset = build('cut.mp4 0\n', data_prefix=dict(video=str(tmp_path)))
    with pytest.raises(RuntimeError, match=r'cannot load .*cut.mp4.*prepare_data.py list'):
        dataset[0]


def test_names_of_classes(build, tmp_path):
    assert 'classes' not in build().metainfo
    names = [f'motion {i}' for i in range(8)]
    (tmp_path / 'classes.txt').write_text('\n'.join(names))
    assert build().metainfo['classes'] == tuple(names)
    assert build(metainfo=dict(classes='abcdefgh')).metainfo['classes'] == 'abcdefgh'
    with pytest.raises(ValueError, match='classes.txt names 8 classes, but there are 9'):
        build(num_classes=9)
