"""Small UCF101 and HMDB51 folders."""

import shutil

import pytest

from tests.data.clips import UCF_TEST, UCF_TRAIN, make_video, write


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp('clip') / 'clip.avi')


@pytest.fixture
def ucf101(tmp_path, clip):
    """(videos, splits) with two classes, split 1 only."""
    videos, splits = tmp_path / 'UCF-101', tmp_path / 'ucfTrainTestlist'
    for item in UCF_TRAIN + UCF_TEST:
        (videos / item).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, videos / item)
    write(splits / 'classInd.txt', '1 Archery', '2 Biking')
    write(splits / 'trainlist01.txt', *(f'{item} {i}' for i, item in enumerate(UCF_TRAIN, 1)))
    write(splits / 'testlist01.txt', *UCF_TEST)
    return videos, splits


@pytest.fixture
def hmdb51(tmp_path, clip):
    """(videos, splits); `sword` precedes `sword_fight` alphabetically,
    though its file names come later."""
    videos, splits = tmp_path / 'videos', tmp_path / 'splits'
    for name in ('sword', 'sword_fight'):
        for i in range(3):
            (videos / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, videos / name / f'#{i}_(x)_{name}.avi')
        for split in (1, 2, 3):
            # video 0: train, test, unused in splits 1, 2, 3; and so on
            write(
                splits / f'{name}_test_split{split}.txt', *(f'#{i}_(x)_{name}.avi {(split + i) % 3} ' for i in range(3))
            )
    return videos, splits


# --- UCF101 -----------------------------------------------------------------
