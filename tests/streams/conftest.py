"""A clip of 42 frames."""

import pytest

from kaizen_mm.data.moving_digits import MovingDigits, write_video
from kaizen_mm.data.video_readers import open_video


@pytest.fixture(scope='session')
def clip(tmp_path_factory):
    """42 frames, each coded alone."""
    data = MovingDigits(num_train=1, num_val=1, num_frames=42, camera=1.0)
    path = tmp_path_factory.mktemp('clip') / 'clip.mp4'
    write_video(path, data.render('val', 0)[0], 25)
    return path


@pytest.fixture(scope='session')
def frames(clip):
    return open_video(clip).get_batch(range(42)).asnumpy()


@pytest.fixture
def said():
    return []
