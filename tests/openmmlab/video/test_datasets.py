"""Lists with faults are refused before training, broken videos are named."""

import os
from unittest import mock

import numpy as np
import pytest
from mmaction.registry import DATASETS
from mmengine.dataset import ClassBalancedDataset
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from kaizen_mm.openmmlab import class_names
from kaizen_mm.openmmlab.runner import KaizenRunner
from tests.data.clips import cut, make_video

PIPELINE = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=4),
    dict(type='DecordDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]


@pytest.fixture
def build(digits, tmp_path):
    init_default_scope('mmaction')

    def build(text=None, **kwargs):
        ann_file = tmp_path / 'list.txt'
        ann_file.write_text((digits / 'train.txt').read_text() if text is None else text)
        return DATASETS.build(
            {
                **dict(
                    type='VideoListDataset',
                    ann_file=str(ann_file),
                    num_classes=8,
                    data_prefix=dict(video=str(digits / 'videos')),
                    pipeline=PIPELINE,
                ),
                **kwargs,
            }
        )

    return build


def test_rare_classes_are_repeated_by_the_stock_wrapper(build, digits):
    names = [line.split()[0] for line in (digits / 'train.txt').read_text().splitlines()]
    inner = dict(
        text=''.join(f'{name} {int(n > 11)}\n' for n, name in enumerate(names)), metainfo=dict(classes=('a', 'b'))
    )
    dataset = build(**inner)
    # 12 and 4 of 16: the rare class is taken ceil(sqrt(0.9 / 0.25)) = 2 times, the other ceil(sqrt(0.9 / 0.75)) = 2
    for threshold, count in ((0.25, 16), (0.5, 20), (0.9, 32)):
        balanced = ClassBalancedDataset(dataset, oversample_thr=threshold)
        assert len(balanced) == count and balanced.metainfo['classes'] == ('a', 'b')
    assert [balanced.get_cat_ids(n) for n in (0, 31)] == [[0], [1]]
    assert balanced[31]['data_samples'].gt_label.tolist() == [1]


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
    dataset = build('\na clip.mp4 3\n\n', data_prefix=dict(video=str(tmp_path)), test_mode=True)
    assert len(dataset) == 1 and int(dataset[0]['data_samples'].gt_label) == 3


@pytest.mark.parametrize(
    'text, message',
    [
        ('train_00000.mp4 0\ntrain_00001.mp4 8\n', r'list.txt:2: label 8 .* from 0 to 7'),
        ('train_00000.mp4 -1\n', r'list.txt:1: expected "file label"'),
        ('train_00000.mp4 cat\n', r'list.txt:1: expected "file label"'),
        ('train_00000.mp4\n', r'list.txt:1: expected "file label"'),
        ('\n', 'list.txt is empty'),
        ('train_00000.mp4 0\n./train_00000.mp4 1\n', r'list.txt:1: label 0 .*label 1 in line 2.*list.txt:2: '),
        ('train_00000.mp4 1\ntrain_00001.mp4 1\n', r'list.txt: all 2 training samples have label 1'),
    ],
)
def test_faulty_lists(build, text, message):
    with pytest.raises(ValueError, match=message):
        build(text)


def test_missing_files(build, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'1 of 2 files .*list.txt:2: .*none.mp4: missing\. .*prepare_data.py list'
    ):
        build('train_00000.mp4 1\nnone.mp4 0\n')
    with pytest.raises(FileNotFoundError, match='ann_file: no file nowhere.txt'):
        build(ann_file='nowhere.txt')
    (tmp_path / 'link.mp4').symlink_to('nowhere')
    os.mkfifo(tmp_path / 'pipe.mp4')  # reading it would wait for ever
    with pytest.raises(FileNotFoundError, match='2 of 2 .*link.mp4: a link to nowhere.*pipe.mp4: not a regular file'):
        build('link.mp4 0\npipe.mp4 1\n', data_prefix=dict(video=str(tmp_path)))


def test_one_class_is_enough_where_it_is_asked_for(build):
    assert (
        len(build('train_00000.mp4 1\n', allow_one_class=True))
        == len(build('train_00000.mp4 1\n', test_mode=True))
        == 1
    )


@pytest.mark.parametrize('name, codec', [('a.avi', 'mpeg4'), ('a.mp4', 'libx264'), ('a.mkv', 'libx264')])
@pytest.mark.parametrize('fraction', [0.05, 0.5, 0.9])
def test_a_truncated_video_is_named(build, tmp_path, name, codec, fraction):
    cut(make_video(tmp_path / name, codec), tmp_path / f'cut_{name}', fraction)
    dataset = build(f'cut_{name} 0\n', data_prefix=dict(video=str(tmp_path)), test_mode=True)
    with pytest.raises(RuntimeError, match=f'cannot load .*cut_{name}.*truncated.*prepare_data.py list'):
        dataset[0]


def test_stock_data_sets_open_videos_by_path_in_our_runner(digits, tmp_path):
    """From bytes, decord ends the process with a truncated .avi."""
    cut(make_video(tmp_path / 'whole.avi'), tmp_path / 'a.avi', 0.5)
    (tmp_path / 'b.mp4').write_bytes((digits / 'videos' / 'train_00000.mp4').read_bytes())
    (tmp_path / 'list.txt').write_text('a.avi 0\nb 1\n')
    init_default_scope('mmaction')
    stock = dict(
        type='mmaction.VideoDataset',
        ann_file=str(tmp_path / 'list.txt'),
        pipeline=PIPELINE,
        data_prefix=dict(video=str(tmp_path)),
    )
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = KaizenRunner.build_dataloader(dict(dataset=stock, batch_size=1, num_workers=0, sampler=sampler))
    assert stock['pipeline'] == PIPELINE, 'the config stays as it is'
    dataset = loader.dataset
    with pytest.raises(ValueError, match='a.avi: truncated: '):
        dataset[0]
    assert dataset[1]['inputs'].shape == (1, 3, 4, 32, 32)  # names without an ending are those of .mp4


def test_names_of_classes(build, tmp_path):
    assert 'classes' not in build().metainfo
    names = [f'motion {i}' for i in range(8)]
    (tmp_path / 'classes.txt').write_text('\n'.join(names))
    assert build().metainfo['classes'] == tuple(names)
    assert build(metainfo=dict(classes='abcdefgh')).metainfo['classes'] == 'abcdefgh'
    with mock.patch.object(class_names, 'print_log') as log:
        assert 'classes' not in build(num_classes=9).metainfo
    assert 'names 8 classes, but there are 9' in log.call_args.args[0]


@pytest.fixture
def spoilt(build, digits, tmp_path):
    """Builds a data set of eight videos of which two are damaged."""
    names = [f'train_0000{i}.mp4' for i in range(8)]
    for name in names:
        (tmp_path / name).write_bytes((digits / 'videos' / name).read_bytes())
    for name in names[2], names[5]:
        cut(tmp_path / name, tmp_path / name, 0.5)
    text = ''.join(f'{name} {i % 2}\n' for i, name in enumerate(names))
    return lambda **kwargs: build(text, data_prefix=dict(video=str(tmp_path)), **kwargs)


def test_unreadable_files_can_be_skipped(spoilt):
    dataset = spoilt(max_unreadable=0.25)
    items = [dataset[i] for i in range(8)]
    assert all(item['inputs'].shape == (1, 3, 4, 32, 32) for item in items)
    assert [name[-5:] for name in dataset.unreadable_files()] == ['2.mp4', '5.mp4']

    dataset = spoilt(max_unreadable=0.2)
    np.random.seed(0)  # what is drawn in place of the second file is not the other one that cannot be read
    dataset[2]
    with pytest.raises(
        RuntimeError,
        match='cannot load .*5.mp4.* 2 of 8 files cannot be loaded, more than '
        'max_unreadable=0.2 allows: .*2.mp4, .*5.mp4',
    ):
        dataset[5]
    for options in (dict(), dict(max_unreadable=0.9, test_mode=True)):
        with pytest.raises(RuntimeError, match='cannot load .*2.mp4'):
            spoilt(**options)[2]
    for wrong in (-0.1, 1.5, True):
        with pytest.raises(ValueError, match='max_unreadable must be a number from 0 to 1'):
            spoilt(max_unreadable=wrong)


def test_workers_share_what_they_skip(spoilt):
    dataset = spoilt(max_unreadable=0.25)
    loader = DataLoader(dataset, batch_size=2, num_workers=2, collate_fn=list)
    assert sum(len(batch) for batch in loader) == 8
    assert len(dataset.unreadable_files()) == 2
