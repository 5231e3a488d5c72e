"""What is wrong with a stream is said, and what can be given of it is given."""

import threading

import av
import numpy as np
import pytest
from PIL import Image

from kaizen_mm.data.video_readers import open_video
from kaizen_mm.streams import FrameSource, windows
from tests.data.awkward_clips import changing_size
from tests.data.clips import cut, make_video
from tests.streams.window_samples import LENGTH, STRIDE, all_of, check_same


def test_another_size(tmp_path, said):
    found = all_of(changing_size(tmp_path / 'a.mkv', frames=10), said)
    assert [(w.start, w.end, w.frames.shape[1]) for w in found] == [
        (0, 8, 64),
        (2, 10, 64),
        (10, 18, 96),
        (12, 20, 96),
    ]
    assert [str(event) for event in said] == [
        'frame 10 (0.40 s): the size changes from 64 x 64 to 96 x 96; windows start anew'
    ]
    assert [window.events for window in found] == [[], [], said, []] and found[2].cut == 10
    pixels = np.zeros((12, 16, 16, 3), np.uint8)
    found = all_of([*pixels[:3], *np.zeros((9, 8, 8, 3), np.uint8)], said)
    assert [w.start for w in found] == [3, 4]
    assert said[-1].text.endswith('windows start anew; the 3 frames before it fill no window')


def test_frames_that_are_lost(clip, frames, tmp_path, said):
    """Packets of the middle are missing; frames on both sides are given, and about how many are not."""
    path = tmp_path / 'a.mkv'
    with av.open(str(clip)) as source, av.open(str(path), 'w') as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
        for packet in packets[:20] + packets[26:]:
            packet.stream = stream
            target.mux(packet)
    found = all_of(path, said, stride=8)
    assert [str(event) for event in said] == ['frame 20 (1.04 s): about 6 frames are lost before it']
    kept = np.concatenate([frames[:20], frames[26:]])
    for window in found:
        np.testing.assert_array_equal(window.frames, kept[window.start : window.end])
    assert found[-1].time == pytest.approx((28 + 6) / 25, abs=1e-3)


def test_a_file_that_ends_in_the_middle(tmp_path, said):
    whole = make_video(tmp_path / 'whole.mkv', 'libx264', frames=60, coding=dict(g='10'))
    found = all_of(cut(whole, tmp_path / 'a.mkv', 0.6), said)
    assert 20 < found[-1].end < 60
    assert any('truncated' in event.text for event in said)
    expected = open_video(whole, 'pyav').get_batch(range(10)).asnumpy()
    np.testing.assert_array_equal(found[0].frames, expected[:8])


def test_damaged_packets(tmp_path, said):
    path = make_video(tmp_path / 'a.mkv', 'libx264', frames=60, size=(64, 64), coding=dict(g='5'))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    found = all_of(path, said)
    assert said and found[-1].end > 40
    assert sum(len(window.events) for window in found) <= len(said)


def test_pictures_that_cannot_be_read(frames, tmp_path, said):
    for index, frame in enumerate(frames[:20]):
        Image.fromarray(frame).save(tmp_path / f'{index}.png')
    (tmp_path / '7.png').write_bytes(b'')
    found = all_of(tmp_path, said)
    assert [event.text[:31] for event in said] == ['7.png cannot be read, and is le'] and said[0].frame == 7
    np.testing.assert_array_equal(found[1].frames[2], frames[8])


def test_a_stream_that_stalls_and_goes_on(frames):
    """It is told while it stalls, and nothing is lost."""
    said, told = [], threading.Event()

    def source():
        yield from frames[:9]
        assert told.wait(60)
        yield from frames[9:]

    def say(event):
        said.append(event)
        told.set()

    check_same(list(windows(source(), LENGTH, STRIDE, stall=0.2, say=say)), frames)
    assert said[0].frame == 9 and said[0].text == 'none came for 0.2 s; it is waited for, up to 60 s'


def test_a_stream_that_stalls_for_good(frames, said):
    never = threading.Event()

    def source():
        yield from frames[:12]
        never.wait(60)

    found = all_of(source(), said, stall=0.1, patience=0.3)
    never.set()
    check_same(found, frames, [0, 4])
    assert [event.text for event in said] == [
        'none came for 0.1 s; it is waited for, up to 0.3 s',
        'none came for 0.3 s; the stream counts as ended',
    ]


def test_events_are_warnings_by_default(frames):
    never = threading.Event()
    with pytest.warns(UserWarning, match=r'frames: frame 12 \(0.48 s\): none came for 0.1 s; the stream'):
        list(windows(_then_nothing(frames[:12], never), 8, stall=0.1, patience=0.1))
    never.set()


def test_a_stream_that_is_stopped_ends_with_the_frame_that_it_has_given(frames, said):
    source = FrameSource(frames, say=said.append)
    found = []
    for window in windows(source, 8, 4):
        found.append((window.start, window.end))
        if window.start == 8:
            source.stop()
    assert found == [(0, 8), (4, 12), (8, 16)] and not said


def test_one_that_gives_nothing_can_be_stopped(frames, said):
    never = threading.Event()
    source = FrameSource(_then_nothing(frames[:10], never), say=said.append)
    timer = threading.Timer(0.3, source.stop)
    timer.start()
    assert [window.start for window in windows(source, 8)] == [0, 2]
    never.set()
    nothing = FrameSource(frames)
    nothing.stop()
    with pytest.raises(ValueError, match='there is no window of 8 frames, the stream has 0'):
        list(windows(nothing, 8))
    assert not said


def _then_nothing(frames, never):
    yield from frames
    never.wait(60)
