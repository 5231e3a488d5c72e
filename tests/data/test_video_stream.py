"""Of several video streams every reader takes the same one, and says so."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kaizen_mm.data.list_check import check_list
from kaizen_mm.data.reencoding import shown_size
from kaizen_mm.data.video_check import check_video
from kaizen_mm.data.video_readers import READERS, check_reader, open_video
from tests.data.awkward_clips import GREYS, two_streams
from tests.data.clips import QUIET, make_video, write


# decord and PyAV, by FFmpeg's own choice, differ on the second and the third of these in MP4
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi'])
@pytest.mark.parametrize(
    'sizes, frames, default, chosen',
    [
        ([(64, 64), (96, 64)], (20, 20), None, 1),
        ([(64, 64), (64, 64)], (20, 20), None, 0),
        ([(96, 64), (64, 64)], (20, 20), None, 0),
        ([(64, 64), (64, 64)], (8, 20), None, 0),
        ([(96, 64), (64, 64)], (20, 20), 1, 1),
    ],
)
def test_one_rule_for_all_readers(tmp_path, suffix, sizes, frames, default, chosen):
    if suffix != 'mkv' and default is not None:
        pytest.skip('FFmpeg marks a default in Matroska alone')
    if suffix == 'mp4' and chosen:
        pytest.skip("FFmpeg's MP4 marks the first stream as default")
    path = two_streams(tmp_path / f'a.{suffix}', sizes, frames, default)
    for reader in READERS:
        try:
            check_reader(reader)
        except ImportError:
            continue
        with pytest.warns(UserWarning, match=rf'a\.{suffix}: 2 video streams; stream {chosen} is read'):
            video = open_video(path, reader)
        assert len(video) == frames[chosen]
        pictures = video.get_batch(range(len(video))).asnumpy()
        assert pictures.shape[1:3] == sizes[chosen][::-1]
        np.testing.assert_allclose(pictures.mean(axis=(1, 2, 3)), GREYS[chosen] + np.arange(frames[chosen]), atol=3)
    with pytest.warns(UserWarning, match='2 video streams'):
        assert check_video(path) == frames[chosen]
    assert shown_size(path) == sizes[chosen]


def test_one_stream_needs_no_line(clip, recwarn):
    open_video(clip)
    assert not recwarn.list


def test_the_line_of_a_list(tmp_path, clip):
    for index in range(7):
        two_streams(tmp_path / f'{index}.mkv', [(32, 32), (64, 32)], (4, 4))
    shutil.copy(clip, tmp_path / 'one.avi')
    write(tmp_path / 'list.txt', *(f'{i}.mkv {i % 2}' for i in range(7)), 'one.avi 0')
    summary = str(check_list(tmp_path / 'list.txt', tmp_path, **QUIET))
    assert f'note: {tmp_path / "4.mkv"}: 2 video streams; stream 1 is read' in summary
    assert '5.mkv' not in summary and 'note: and 2 more files of several video streams' in summary


def test_pictures_are_read_after_videos(tmp_path):
    """The libraries of decord would take the place of OpenCV's."""
    video = make_video(tmp_path / 'a.mp4')
    picture = tmp_path / 'a.png'
    Image.fromarray(np.full((4, 4, 3), 7, np.uint8)).save(picture)
    program = (
        'import sys; from kaizen_mm.data.video_readers import open_video; open_video(sys.argv[1], "decord"); '
        'import cv2; print(cv2.imread(sys.argv[2]).max())'
    )
    run = subprocess.run([sys.executable, '-c', program, video, picture], capture_output=True, text=True)
    assert run.stdout.strip() == '7', run.stderr
