"""Videos that training could not read well are found by decoding them twice."""
import av
import decord
import numpy as np
import pytest

from kaizen_mm.data.file_check import declared_size
from kaizen_mm.data.video_check import check_video
from tests.data.clips import cut, make_video

# --- damaged videos ---------------------------------------------------------


@pytest.mark.parametrize('name, codec, options', [
    ('a.avi', 'mpeg4', {}), ('a.avi', 'libx264', {}), ('a.mp4', 'libx264', {}),
    ('a.mp4', 'libx264', {'movflags': 'faststart'}), ('a.mkv', 'libx264', {}), ('a.webm', 'libvpx', {}),
])
def test_truncated(tmp_path, name, codec, options):
    whole = make_video(tmp_path / name, codec, **options)
    assert check_video(whole) == 20
    assert declared_size(whole) == whole.stat().st_size
    for fraction in (0.99, 0.7, 0.2, 0.02):
        with pytest.raises(ValueError, match='truncated|decord cannot open'):
            check_video(cut(whole, tmp_path / f'cut_{name}', fraction))


def test_decord_opens_truncated_avi(tmp_path, clip):
    """Why the size is compared: decord itself sees nothing wrong."""
    reader = decord.VideoReader(str(cut(clip, tmp_path / 'cut.avi', 0.5)))
    assert 0 < len(reader) < 20
    assert reader.get_batch([0, len(reader) - 1]).shape[0] == 2


def test_damage_inside(tmp_path):
    """A hole of zeros, as an interrupted download leaves it."""
    path = make_video(tmp_path / 'a.mp4', 'libx264', movflags='faststart')
    data = bytearray(path.read_bytes())
    data[len(data) // 2:] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(ValueError, match='decod'):
        check_video(path)


def test_single_frame(tmp_path):
    assert check_video(make_video(tmp_path / 'a.avi', frames=1)) == 1


def test_no_video_stream(tmp_path):
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), 'fltp', 'mono')
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match='decord cannot open it'):
        check_video(path)
