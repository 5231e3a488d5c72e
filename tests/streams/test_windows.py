"""Windows of files, folders, addresses, pipes and arrays are the same; few frames are held; a network reads them."""

import functools
import http.server
import os
import subprocess
import sys
import threading

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from kaizen_mm.data.moving_digits import MovingDigits
from kaizen_mm.data.video_readers import open_video
from kaizen_mm.streams import CutMeter, FrameSource, StreamRecognizer, Window, windows
from tests.data.awkward_clips import below_zero, doubled_rate, two_streams
from tests.data.clips import make_video, part
from tests.streams.window_samples import LENGTH, STRIDE, all_of, check_same


def test_a_file_a_folder_and_arrays(clip, frames, tmp_path, said):
    check_same(all_of(clip, said), frames)
    check_same(all_of(str(clip), said, stride=5), frames)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f'frame{index}.png')  # frame10 comes after frame9
    (tmp_path / '.hidden').write_bytes(b'')
    check_same(all_of(tmp_path, said), frames)
    check_same(all_of(iter(frames), said, rate=10), frames, rate=10)
    check_same(list(windows(FrameSource(clip), LENGTH, STRIDE)), frames)
    assert not said


def test_the_same_file_as_a_stream(clip, frames, tmp_path, said):
    """Over HTTP, and through a pipe that cannot be sought."""
    mkv = tmp_path / 'a.mkv'
    with av.open(str(clip)) as source, av.open(str(mkv), 'w') as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    handler = functools.partial(_Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        check_same(all_of(f'http://127.0.0.1:{server.server_port}/a.mkv', said), frames)
        server.shutdown()
    os.mkfifo(tmp_path / 'pipe')
    threading.Thread(target=lambda: (tmp_path / 'pipe').write_bytes(mkv.read_bytes()), daemon=True).start()
    check_same(all_of(tmp_path / 'pipe', said), frames)
    assert not said


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize('interval', [1, 2])
def test_a_window_has_the_frames_of_a_file_that_holds_just_it(clip, tmp_path, said, interval):
    """As ``predict`` reads that file: cut out packet by packet, opened by each reader."""
    found = all_of(clip, said, stride=7, interval=interval)
    for window in found:
        path = part(clip, tmp_path / f'{window.start}.mp4', window.start, window.end)
        for reader in ('decord', 'pyav'):
            video = open_video(path, reader)
            assert len(video) == window.end - window.start
            np.testing.assert_array_equal(video.get_batch(range(0, len(video), interval)).asnumpy(), window.frames)
    assert len(found) > 3 and not said


def test_strides_larger_than_a_window_and_no_tail(frames, said):
    check_same(all_of(frames, said, stride=20), frames, [0, 20, 34])
    check_same(all_of(frames, said, stride=17, tail=False), frames, [0, 17, 34])
    check_same(all_of(frames, said, stride=5, tail=False), frames, [0, 5, 10, 15, 20, 25, 30])
    check_same(all_of(frames, said, stride=None), frames, [0, 8, 16, 24, 32, 34])
    check_same(all_of(frames, said, stride=None, interval=3), frames, [0, 20], interval=3)
    assert [w.start for w in all_of(frames[:8], said, stride=5)] == [0]


def test_awkward_files(tmp_path, said):
    (first, *_, last) = all_of(below_zero(tmp_path / 'a.ts'), said)
    np.testing.assert_allclose(first.frames.mean(axis=(1, 2, 3)), 6 * np.arange(8), atol=3)
    np.testing.assert_allclose(last.frames.mean(axis=(1, 2, 3)), 6 * np.arange(32, 40), atol=3)
    found = all_of(doubled_rate(tmp_path / 'a.avi'), said)
    assert [window.time for window in found] == pytest.approx([0, 0.2, 0.4, 0.48])  # 25 frames per second
    found = all_of(make_video(tmp_path / 'b.avi', 'libx264', frames=40), said)  # with B-frames
    assert [window.time for window in found] == pytest.approx([i / 25 for i in (0, 5, 10, 15, 20, 25, 30, 32)])
    found = all_of(two_streams(tmp_path / 'a.mkv', [(64, 64), (96, 64)]), said)
    assert found[0].frames.shape == (8, 64, 96, 3) and not said


def test_cuts_are_said_of_the_window_that_first_has_them(frames):
    other = MovingDigits(num_train=1, num_val=2, num_frames=42, camera=1.0).render('val', 1)[0]
    found = list(windows(np.concatenate([frames[:20], other[:22]]), LENGTH, STRIDE))
    assert [(window.start, window.cut) for window in found if window.cut] == [(15, 20)]
    assert found[3].begins == 5 and found[0].begins is None
    assert max(found, key=lambda window: window.change).start == 15
    for scene, interval, begins in [(12, 1, 2), (9, 1, 0), (10, 1, 0), (13, 2, 2), (12, 2, 1), (17, 1, 7), (24, 2, 7)]:
        window = Window(np.zeros((8, 4, 4, 3), np.uint8), 10, 0.0, 10 + 7 * interval + 1, scene)
        assert window.begins == begins
        if scene >= 10:  # the first of its frames that are of the other scene
            assert begins == next(k for k in range(8) if 10 + interval * k >= scene)


def test_with_a_network(clip, frames):
    """Windows give what a recognizer makes of the frames itself, cuts and all."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5)
    ).eval()
    other = MovingDigits(num_train=1, num_val=2, num_frames=42, camera=1.0).render('val', 1)[0]
    stream = np.concatenate([frames[:20], other[:22]])
    meter, by_frame = CutMeter(), StreamRecognizer(network, LENGTH, STRIDE, smoothing='mean')
    given = [by_frame.frame(torch.from_numpy(pixels).permute(2, 0, 1) / 255, meter(pixels)) for pixels in stream]
    expected = [scores for scores in given if scores is not None]
    by_window = StreamRecognizer(network, LENGTH, STRIDE, smoothing='mean')
    for window in windows(stream, LENGTH, STRIDE, tail=False):
        x = torch.from_numpy(window.frames).permute(3, 0, 1, 2)[None] / 255
        found = by_window.window(x, window.begins)
        torch.testing.assert_close(found.probabilities, expected.pop(0).probabilities)
    assert not expected


def test_few_frames_are_held_however_long_the_stream(frames):
    made = 0

    def endless():
        nonlocal made
        while True:
            made += 1
            yield frames[made % 42]

    for number, window in enumerate(windows(endless(), 4, 4)):
        assert made <= window.end + 8 + 3
        if number == 100:
            break


def test_the_thread_ends_with_its_reader(clip):
    stream = windows(clip, 4)
    next(stream)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == f'read {clip}']
    stream.close()
    thread.join(60)
    assert not thread.is_alive()


def test_torch_is_enough_and_pyav_to_read():
    """A folder of pictures needs Pillow, when it is read."""
    code = (
        'import sys, kaizen_mm.streams\n'
        "loaded = lambda: sorted({'av', 'PIL', 'cv2', 'decord', 'timm'}.intersection(sys.modules))\n"
        'print(loaded(), end=" ")\n'
        'from kaizen_mm.streams import FrameSource, windows\n'
        'print(callable(windows), loaded())'
    )
    output = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert output == "[] True ['av']\n"
    with pytest.raises(ImportError, match='no_such_part'):
        from kaizen_mm.streams import no_such_part  # noqa: F401
