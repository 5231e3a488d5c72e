"""Arguments and sources that are none are named before anything is read."""

import av
import numpy as np
import pytest

from kaizen_mm.streams import FrameSource, windows


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(length=0), 'length must be an int >= 1, got 0'),
        (dict(stride=0), 'stride must be an int >= 1, got 0'),
        (dict(interval=1.5), 'interval must be an int >= 1, got 1.5'),
        (dict(tail=1), 'tail must be True or False'),
        (dict(rate=0), 'rate must be more than 0, got 0'),
        (dict(stall=-1), 'stall must be a finite number'),
        (dict(patience='x'), 'patience must be a finite number'),
    ],
)
def test_arguments_are_looked_at_before_anything_is_read(frames, options, message):
    with pytest.raises(ValueError, match=message):
        windows(frames, **options)


def test_sources_that_are_none(tmp_path, frames):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty.mp4').write_bytes(b'')
    with pytest.raises(FileNotFoundError, match='no file or folder nowhere.mp4'):
        windows('nowhere.mp4')
    with pytest.raises(ValueError, match='empty: no pictures in this folder'):
        windows(tmp_path / 'empty')
    with pytest.raises(ValueError, match=r'empty.mp4: empty file'):
        windows(tmp_path / 'empty.mp4')
    with pytest.raises(ValueError, match='number of a camera must be at least 0, got -1'):
        windows(-1)
    with pytest.raises((FileNotFoundError, ValueError), match='camera'):
        windows(98765)
    for source in (None, 1.5, True):
        with pytest.raises(TypeError, match='source must be a file, a folder, the number of a camera'):
            windows(source)
    with pytest.raises(TypeError, match=r"\['rate'\] belong to the FrameSource"):
        windows(FrameSource(frames), rate=5)
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(ValueError, match=r'text.mp4: cannot be opened: Invalid data'):
        windows(tmp_path / 'text.mp4')
    with av.open(str(tmp_path / 'a.wav'), 'w') as sound:
        stream = sound.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), 's16', 'mono')
        frame.sample_rate = 8000
        sound.mux(stream.encode(frame))
    with pytest.raises(ValueError, match=r'a.wav: no video stream'):
        windows(tmp_path / 'a.wav')
    with pytest.raises(ValueError, match='http://127.0.0.1:1/a.mp4: cannot be opened'):
        list(windows('http://127.0.0.1:1/a.mp4'))
    with pytest.raises(ValueError, match='there is no window of 16 frames, the stream has 7'):
        list(windows(frames[:7], 16))
    with pytest.raises(ValueError, match=r'frames of uint8 \[H, W, 3\], got one of float32 \[56, 56, 3\]'):
        list(windows(frames.astype(np.float32)))
    with pytest.raises(ValueError, match='frames: no frames'):
        list(windows([]))
