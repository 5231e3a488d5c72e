"""Lists from the official split files, and what becomes of bad videos.

All videos are made here, but for one test on real clips that runs where
`KAIZEN_DATA` names a folder with `ucf101_samples`.
"""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kaizen_mm.data.annotations import prepare_hmdb51, prepare_ucf101
from kaizen_mm.data.list_check import check_list
from kaizen_mm.data.preparation import Preparation
from kaizen_mm.data.splits import read_hmdb51_splits, read_ucf101_splits
from kaizen_mm.data.video_check import check_video
from tests.data.clips import QUIET, UCF_TEST, UCF_TRAIN, cut, make_video, write

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'prepare_data.py'


# --- UCF101 -----------------------------------------------------------------


def test_ucf101_lists(ucf101, tmp_path):
    out = tmp_path / 'out'
    result = prepare_ucf101(*ucf101, out, **QUIET)
    assert (out / 'train_split1.txt').read_text().splitlines() == [f'{UCF_TRAIN[0]} 0', f'{UCF_TRAIN[1]} 1']
    assert (out / 'test_split1.txt').read_text().splitlines() == [f'{UCF_TEST[0]} 0', f'{UCF_TEST[1]} 1']
    assert (out / 'classes.txt').read_text() == 'Archery\nBiking\n'
    assert (out / 'left_out.txt').read_text() == ''
    assert (out / 'video_root.txt').read_text() == f'{ucf101[0]}\n'
    assert 'no files for split 2' in str(result)
    assert f'video root: {ucf101[0]}' in str(result)
    assert not list(out.glob('*_split2.txt')) and not list(out.rglob('*.part'))


def test_ucf101_flat_folder_and_outer_folder(ucf101, tmp_path):
    videos, splits = ucf101
    flat = tmp_path / 'flat'
    flat.mkdir()
    for item in UCF_TRAIN + UCF_TEST:
        shutil.copy(videos / item, flat)
    prepare_ucf101(flat, splits, tmp_path / 'a', **QUIET)
    assert (tmp_path / 'a/test_split1.txt').read_text() == ('v_Archery_g01_c01.avi 0\nv_Biking_g01_c01.avi 1\n')
    # the folder that holds UCF-101 and ucfTrainTestlist
    prepare_ucf101(tmp_path, tmp_path, tmp_path / 'b', **QUIET)
    assert (tmp_path / 'b/video_root.txt').read_text() == f'{videos}\n'


def test_ucf101_bad_videos_are_left_out(ucf101, tmp_path, clip):
    videos, splits = ucf101
    more = [f'Biking/v_Biking_g08_c0{i}.avi' for i in range(2, 6)]
    cut(clip, videos / more[0], 0.6)
    (videos / more[1]).write_bytes(bytes(range(256)) * 20)
    (videos / more[2]).write_bytes(b'')
    make_video(videos / more[3], frames=5)
    with open(splits / 'trainlist01.txt', 'a') as file:
        file.writelines(f'{item} 2\n' for item in more)
    out = tmp_path / 'out'
    result = prepare_ucf101(videos, splits, out, min_frames=20, **QUIET)
    reasons = dict(line.split('\t') for line in (out / 'left_out.txt').read_text().splitlines())
    assert list(reasons) == more
    assert 'truncated' in reasons[more[0]]
    assert 'decord cannot open it' in reasons[more[1]]
    assert 'empty' in reasons[more[2]]
    assert 'too short: 5 frames' in reasons[more[3]]
    assert (out / 'train_split1.txt').read_text().splitlines() == [f'{UCF_TRAIN[0]} 0', f'{UCF_TRAIN[1]} 1']
    assert result.lists[out / 'train_split1.txt'] == 2
    assert 'left out: 4' in str(result) and more[0] in str(result)
    # five frames are enough by default
    prepare_ucf101(videos, splits, out, **QUIET)
    assert f'{more[3]} 1' in (out / 'train_split1.txt').read_text()


def test_ucf101_missing_videos(ucf101, tmp_path):
    videos, splits = ucf101
    out = tmp_path / 'out'
    (videos / UCF_TEST[1]).unlink()
    with pytest.raises(FileNotFoundError, match='1 of 4 .*v_Biking_g01_c01.avi.*--allow-missing'):
        prepare_ucf101(videos, splits, out, **QUIET)
    assert not out.exists()
    prepare_ucf101(videos, splits, out, allow_missing=True, **QUIET)
    assert (out / 'left_out.txt').read_text() == f'{UCF_TEST[1]}\tmissing\n'
    assert (out / 'test_split1.txt').read_text() == f'{UCF_TEST[0]} 0\n'

    (videos / UCF_TEST[0]).unlink()  # nothing to test on: no such list
    result = prepare_ucf101(videos, splits, out, allow_missing=True, **QUIET)
    assert not (out / 'test_split1.txt').exists()
    assert (out / 'train_split1.txt').exists()
    assert 'no video remains for test_split1' in str(result)


def test_nothing_remains(ucf101, tmp_path):
    videos, splits = ucf101
    for item in UCF_TEST:
        (videos / item).write_bytes(b'')
    with pytest.raises(ValueError, match='split 1: no video .* test_split1'):
        prepare_ucf101(videos, splits, tmp_path / 'out', **QUIET)
    assert UCF_TEST[0] in (tmp_path / 'out/left_out.txt').read_text()
    for item in UCF_TRAIN:
        (videos / item).write_bytes(b'')
    with pytest.raises(ValueError, match='train_split1 and test_split1'):
        prepare_ucf101(videos, splits, tmp_path / 'out', allow_missing=True, **QUIET)


@pytest.mark.parametrize(
    'file, text, error, message',
    [
        ('classInd.txt', '0 Archery\n1 Biking\n', ValueError, 'line 1.*"1 <new'),
        ('classInd.txt', '1 Archery\n2 Archery\n', ValueError, 'line 2'),
        ('classInd.txt', None, FileNotFoundError, 'found no classInd.txt'),
        (
            'trainlist01.txt',
            '\nArchery/v_a.avi\n',
            ValueError,
            'trainlist01.txt, line 2: expected "<Class>/<file>.avi <label>"',
        ),
        ('trainlist01.txt', 'Archery/v_a.avi 2\n', ValueError, 'line 1: label 2 .* is 1 in classInd.txt'),
        (
            'trainlist01.txt',
            'Archery/v_a.avi 1\nDiving/v_a.avi 3\n',
            ValueError,
            'line 2: classInd.txt has no class "Diving"',
        ),
        ('trainlist01.txt', '', ValueError, 'split 1: .*trainlist01.txt is empty'),
        ('testlist01.txt', '', ValueError, 'split 1: .*testlist01.txt is empty'),
        ('testlist01.txt', '0\t70\tPunch/v_a.avi\n', ValueError, 'line 1'),
        ('testlist01.txt', 'Archery/v_a.avi 1\n', ValueError, 'line 1'),
        ('testlist01.txt', None, FileNotFoundError, 'split 1 lacks testlist01.txt'),
    ],
)
def test_ucf101_split_errors(ucf101, file, text, error, message):
    path = ucf101[1] / file
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(error, match=message):
        read_ucf101_splits(ucf101[1])


def test_ucf101_no_split_at_all(ucf101):
    for kind in ('train', 'test'):
        (ucf101[1] / f'{kind}list01.txt').unlink()
    with pytest.raises(FileNotFoundError, match='found no split'):
        read_ucf101_splits(ucf101[1])


def test_wrong_folders(ucf101, hmdb51, tmp_path):
    videos, splits = ucf101
    out = tmp_path / 'out'
    with pytest.raises(FileNotFoundError, match='videos: no folder .*absent'):
        prepare_ucf101(tmp_path / 'absent', splits, out)
    with pytest.raises(FileNotFoundError, match='splits: no folder .*absent'):
        prepare_hmdb51(hmdb51[0], tmp_path / 'absent', out)
    archive = write(tmp_path / 'packed' / 'UCF101.rar', 'Rar!')
    with pytest.raises(NotADirectoryError, match='UCF101.rar is an archive'):
        prepare_ucf101(archive, splits, out)
    with pytest.raises(FileNotFoundError, match='1 archives .*unpack'):
        prepare_hmdb51(archive.parent, hmdb51[1], out)
    with pytest.raises(FileNotFoundError, match='expected UCF101 videos'):
        prepare_ucf101(splits, splits, out)
    with pytest.raises(FileNotFoundError, match='expected <class>_test_split'):
        prepare_hmdb51(hmdb51[0], splits, out)
    assert not out.exists()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(short_side=31), 'short_side must be an even .* not 31'),
        (dict(short_side=0), 'short_side'),
        (dict(min_frames=0), 'min_frames must be at least 1, not 0'),
        (dict(workers=0), 'workers must be at least 1, not 0'),
        (dict(timeout=0), 'timeout must be positive .* not 0'),
    ],
)
def test_wrong_options(ucf101, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        prepare_ucf101(*ucf101, tmp_path / 'out', progress=False, **options)


# --- HMDB51 -----------------------------------------------------------------


def test_hmdb51_lists(hmdb51, tmp_path):
    out = tmp_path / 'out'
    prepare_hmdb51(*hmdb51, out, **QUIET)
    for split in (1, 2, 3):
        for kind, flag in (('train', 1), ('test', 2)):
            i = (flag - split) % 3
            assert (out / f'{kind}_split{split}.txt').read_text() == (
                f'sword/#{i}_(x)_sword.avi 0\nsword_fight/#{i}_(x)_sword_fight.avi 1\n'
            )
    assert (out / 'classes.txt').read_text() == 'sword\nsword_fight\n'


def test_hmdb51_names(hmdb51, tmp_path, clip):
    videos, splits = hmdb51
    for name in ('a b.avi', ' c.avi'):
        shutil.copy(clip, videos / 'sword' / name)
    with open(splits / 'sword_test_split1.txt', 'a') as file:
        file.write('a b.avi 1\n')
    prepare_hmdb51(videos, splits, tmp_path / 'out', **QUIET)
    assert 'sword/a b.avi 0\n' in (tmp_path / 'out/train_split1.txt').read_text()


@pytest.mark.parametrize(
    'text, error, message',
    [
        ('a.avi 1\na.avi 3\n', ValueError, 'sword_test_split2.txt, line 2'),
        ('a.avi\n', ValueError, 'line 1: expected "<file>.avi 0|1|2"'),
        (None, FileNotFoundError, 'split 2 lacks sword_test_split2.txt'),
    ],
)
def test_hmdb51_split_errors(hmdb51, text, error, message):
    path = hmdb51[1] / 'sword_test_split2.txt'
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(error, match=message.replace('|', r'\|')):
        read_hmdb51_splits(hmdb51[1])


def test_hmdb51_split_without_test_videos(hmdb51):
    for name in ('sword', 'sword_fight'):
        write(hmdb51[1] / f'{name}_test_split3.txt', 'a.avi 1')
    with pytest.raises(ValueError, match='split 3: .* flag 2'):
        read_hmdb51_splits(hmdb51[1])


# --- labels ----------------------------------------------------------------


def test_a_file_with_two_labels_is_in_no_list(ucf101, tmp_path, clip):
    shutil.copy(clip, tmp_path / 'a.avi')
    shutil.copy(clip, tmp_path / 'b.avi')
    file = write(tmp_path / 'all.txt', 'a.avi 0', 'b.avi 1', './a.avi 1')
    result = check_list(file, tmp_path, tmp_path / 'out.txt', **QUIET)
    assert (tmp_path / 'out.txt').read_text() == 'b.avi 1\n'
    assert [reason for _, reason in result.left_out] == [
        'label 0 of a.avi, which has label 1 in line 3; a file has one label',
        'label 1 of ./a.avi, which has label 0 in line 1; a file has one label',
    ]
    videos, splits = ucf101  # found by their names alone
    with open(splits / 'trainlist01.txt', 'a') as stream:
        stream.write(f'Biking/{Path(UCF_TRAIN[0]).name} 2\n')
    with pytest.raises(ValueError, match='train_split1: label 0 of .*which has label 1'):
        prepare_ucf101(videos, splits, tmp_path / 'out', **QUIET)


# --- the tool ---------------------------------------------------------------


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Calls the tool's `main` in this process, in a folder of its own."""
    main = runpy.run_path(str(TOOL))['main']
    monkeypatch.chdir(tmp_path)

    def call(*args):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
        status = main()
        return status, *capsys.readouterr()

    return call


def test_tool_as_a_program(ucf101, tmp_path):
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    run = subprocess.run(
        [
            sys.executable,
            str(TOOL),
            'ucf101',
            '--videos',
            str(ucf101[0]),
            '--splits',
            str(ucf101[1]),
            '--out',
            'lists',
            '--workers',
            '1',
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': path},
    )
    assert run.returncode == 0, run.stderr
    assert f'video root: {ucf101[0]}' in run.stdout
    assert len((folder / 'lists/test_split1.txt').read_text().split()) == 4


def test_tool_hmdb51_and_list(hmdb51, tmp_path, tool):
    status, text, _ = tool('hmdb51', '--videos', hmdb51[0], '--splits', hmdb51[1], '--out', 'out', '--short-side', 64)
    assert status == 0 and f'video root: {tmp_path / "out/videos"}' in text
    assert len(list((tmp_path / 'out').glob('*_split?.txt'))) == 6
    file = tmp_path / 'out/test_split3.txt'
    check = 'list', file, '--videos', 'out/videos', '--out', 'clean.txt'
    status, text, _ = tool(*check)
    assert status == 0 and 'clean.txt: 2 videos' in text
    with open(file, 'a') as stream:
        stream.write('gone.mp4 0\n')
    status, text, _ = tool(*check)
    assert status == 1 and 'line 3: gone.mp4 0: missing' in text


def test_tool_error(ucf101, tool):
    assert tool('ucf101', '--videos', 'absent', '--splits', ucf101[1], '--out', 'none') == (
        2,
        '',
        'error: videos: no folder absent; expected the UCF101 videos there\n',
    )


def test_real_clips(tmp_path):
    if 'KAIZEN_DATA' not in os.environ:
        pytest.skip('KAIZEN_DATA is not set: no real clips')
    videos = Path(os.environ['KAIZEN_DATA']) / 'ucf101_samples'
    names = ['v_ApplyEyeMakeup_g01_c01.avi', 'v_BaseballPitch_g01_c01.avi']
    items = [f'{name.split("_")[1]}/{name}' for name in names]
    splits = tmp_path / 'splits'
    write(splits / 'classInd.txt', '1 ApplyEyeMakeup', '2 BaseballPitch')
    write(splits / 'trainlist01.txt', f'{items[0]} 1', f'{items[1]} 2')
    write(splits / 'testlist01.txt', *items)
    result = prepare_ucf101(videos, splits, tmp_path / 'out', **QUIET)
    assert (tmp_path / 'out/train_split1.txt').read_text() == (f'{names[0]} 0\n{names[1]} 1\n')
    assert 'both in train and in test' in str(result)
    assert [check_video(videos / name) for name in names] == [164, 107]
    with pytest.raises(ValueError, match='truncated'):
        check_video(cut(videos / names[0], tmp_path / 'cut.avi', 0.7))


def test_a_summary_of_names_that_are_no_utf_8_can_be_printed(tmp_path):
    text = str(Preparation(tmp_path, left_out=[('line 2', os.fsdecode(b'\xff.avi 1'))]))
    assert r'line 2: \udcff.avi 1' in text.encode('utf-8').decode()
