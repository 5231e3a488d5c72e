"""What containers say of their content: the index of an AVI, the checksums of a Matroska file."""

import struct

import av
import decord
import numpy as np
import pytest

from kaizen_mm.data import picture_size
from kaizen_mm.data.containers import indexed_packets, video_tracks, wrong_checksum
from kaizen_mm.data.file_check import declared_size
from kaizen_mm.data.reencoding import reencode_video
from kaizen_mm.data.video_check import check_video, sought
from kaizen_mm.data.video_readers import UnreadableVideo, open_video
from tests.data.awkward_clips import below_zero, changing_size, doubled_rate, two_streams
from tests.data.clips import make_video


def header_length(path):
    """``strh.dwLength``, which is no count of packets."""
    content = path.read_bytes()
    return struct.unpack('<I', content[content.index(b'strh') + 40 :][:4])[0]


# --- AVI: how many packets there are ------------------------------------------


@pytest.mark.parametrize('codec', ['libx264', 'mpeg4'])
def test_an_avi_whose_header_gives_a_duration(tmp_path, codec):
    path = doubled_rate(tmp_path / 'y.avi', codec)
    assert header_length(path) >= 39
    assert indexed_packets(path) == 20 == len(decord.VideoReader(str(path)))
    assert check_video(path) == check_video(path, 'pyav') == 20


def test_sound_is_not_counted_and_other_containers_have_no_such_index(tmp_path, clip):
    assert indexed_packets(clip) == 20
    path = tmp_path / 'a.avi'
    with av.open(str(path), 'w') as container:
        streams = container.add_stream('mp2', rate=32000), container.add_stream('mpeg4', rate=25)
        streams[1].width = streams[1].height = 32
        for _ in range(7):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), 's16', 'mono')
            sound.sample_rate = 32000
            container.mux(streams[0].encode(sound))
        for number in range(5):
            pixels = np.full((32, 32, 3), 40 * number, np.uint8)
            container.mux(streams[1].encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        for stream in streams:
            container.mux(stream.encode())
    assert indexed_packets(path) == 5
    assert indexed_packets(make_video(tmp_path / 'a.mp4')) is None


def test_a_file_of_several_riff_chunks(tmp_path):
    """Beyond 1 GB the index of the first chunk is not that of the file; a super index leads to its parts."""

    def chunk(name, content):
        return name + struct.pack('<I', len(content)) + content + bytes(len(content) % 2)

    def part(sizes):  # head of a standard index, and place and length of each packet
        entries = b''.join(struct.pack('<II', 8, size) for size in sizes)
        return chunk(b'ix00', struct.pack('<HBBI4sQI', 2, 0, 1, len(sizes), b'00dc', 0, 0) + entries)

    parts = [part([5, 0x80000003, 0]), part([4, 0x80000000, 7, 1])]
    header = struct.pack('<4s4sIHHIIIIIIIIHHHH', b'vids', b'H264', *[0] * 15)

    def file(places):
        head = struct.pack('<HBBI4s12x', 4, 0, 0, 2, b'00dc')
        indx = head + b''.join(struct.pack('<QII', place, len(p), 9) for place, p in zip(places, parts))
        streams = chunk(b'LIST', b'strl' + chunk(b'strh', header) + chunk(b'indx', indx))
        first = b'AVI ' + chunk(b'LIST', b'hdrl' + streams) + chunk(b'LIST', b'movi' + parts[0])
        first += chunk(b'idx1', struct.pack('<4sIII', b'00dc', 16, 4, 5))
        return chunk(b'RIFF', first) + chunk(b'RIFF', b'AVIX' + chunk(b'LIST', b'movi' + parts[1]))

    content = file([0, 0])
    content = file([content.index(b'ix00'), content.rindex(b'ix00')])
    (tmp_path / 'a.avi').write_bytes(content)
    assert declared_size(tmp_path / 'a.avi') == len(content)
    assert indexed_packets(tmp_path / 'a.avi') == 2 + 3
    (tmp_path / 'a.avi').write_bytes(content[: content.index(b'indx') + 12])
    assert indexed_packets(tmp_path / 'a.avi') is None


# --- how many video streams there are -----------------------------------------


@pytest.mark.parametrize('suffix', ['avi', 'mp4', 'mov', 'mkv'])
def test_video_tracks(tmp_path, suffix):
    one, two = tmp_path / f'one.{suffix}', tmp_path / f'two.{suffix}'
    with av.open(str(one), 'w') as container:  # with sound, which does not count
        sound = container.add_stream('aac' if suffix != 'avi' else 'mp2', rate=32000)
        video = container.add_stream('mpeg4', rate=25)
        video.width = video.height = 32
        samples = np.zeros((1, 4608), np.int16 if suffix == 'avi' else np.float32)
        frame = av.AudioFrame.from_ndarray(samples, 's16' if suffix == 'avi' else 'fltp', 'mono')
        frame.sample_rate = 32000
        container.mux(sound.encode(frame))
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format='rgb24')))
        for stream in (sound, video):
            container.mux(stream.encode())
    assert video_tracks(one) == 1 and video_tracks(two_streams(two, [(32, 32), (64, 32)], (4, 4))) == 2
    content = two.read_bytes()
    for length in range(0, len(content), max(len(content) // 50, 1)):  # whatever is left of it
        two.write_bytes(content[:length])
        assert video_tracks(two) in (None, 1, 2)


def test_video_tracks_of_other_containers(tmp_path):
    assert video_tracks(make_video(tmp_path / 'a.webm', 'libvpx', frames=3)) == 1
    assert video_tracks(make_video(tmp_path / 'a.mp4', 'libx264', frames=3, movflags='faststart')) == 1
    assert video_tracks(make_video(tmp_path / 'a.ts', 'libx264', frames=3)) is None


# --- Matroska: checksums ------------------------------------------------------


@pytest.mark.parametrize('codec', ['libx264', 'libvpx', 'libvpx-vp9'])
def test_small_damage_in_matroska(tmp_path, codec):
    """Decoders pass over a bit, 64 zeros or 300 doubled bytes here and there, VP9 over nearly all; sums do not."""
    path = make_video(tmp_path / 'a.mkv', codec, size=(64, 64))
    assert wrong_checksum(path) is None and check_video(path) == 20
    whole = path.read_bytes()
    first, last = whole.index(b'\x1f\x43\xb6\x75') + 40, whole.rindex(b'\x1c\x53\xbb\x6b') - 400  # cluster, cues
    rng = np.random.default_rng(0)
    for place in rng.integers(first, last, 5):
        for damage in (
            bytes([whole[place] ^ 1 << int(rng.integers(8))]),
            bytes(64),
            whole[place - 300 : place],
        ):
            content = whole[:place] + damage + whole[place + len(damage) :]
            if content == whole:
                continue
            path.write_bytes(content)
            with pytest.raises(ValueError, match='damaged: the checksum of the cluster at byte|truncated'):
                check_video(path)


def test_without_checksums_nothing_is_said(tmp_path):
    path = make_video(tmp_path / 'a.webm', 'libvpx-vp9', frames=4)
    assert wrong_checksum(path) is None  # WebM has none
    path.write_bytes(path.read_bytes()[:60])
    assert wrong_checksum(path) is None
    assert wrong_checksum(make_video(tmp_path / 'a.mp4')) is None


# --- where decord gives wrong frames at the ends ------------------------------


def test_h264_with_b_frames_in_avi(tmp_path):
    """Frames of the last group alone are wrong, and drawn positions miss it."""
    path = make_video(tmp_path / 'a.avi', 'libx264', frames=200, coding=dict(g='195'))
    order = np.random.default_rng(0).permutation(200)[:24]
    video = decord.VideoReader(str(path))
    in_a_row = video.get_batch(range(200)).asnumpy()
    again = decord.VideoReader(str(path)).get_batch(order.tolist()).asnumpy()
    drawn_is_right = (again == in_a_row[order]).all()
    ends = decord.VideoReader(str(path)).get_batch([199, 0, 198]).asnumpy()
    assert (ends != in_a_row[[199, 0, 198]]).any() and drawn_is_right
    with pytest.raises(ValueError, match=r'decord gives other frames .*first at frame 19\d of'):
        check_video(path)
    assert check_video(path, 'pyav') == 200
    assert reencode_video(path, tmp_path / 'b.mp4', 32) == 200


def test_all_of_a_short_video_is_sought_and_both_ends_of_a_long_one():
    assert sorted(sought(48)) == list(range(48))
    long = sought(1000).tolist()
    assert set(long) >= {*range(8), *range(992, 1000)} and len(long) == 40
    # from elsewhere: no end is reached from beside it
    assert all(abs(one - other) > 100 for one, other in zip(long[:15], long[1:16]))


# --- first timestamps below zero, sizes that change ---------------------------


@pytest.mark.parametrize('suffix', ['ts', 'flv', 'mkv', 'mov'])
def test_a_first_timestamp_below_zero(tmp_path, suffix):
    path = below_zero(tmp_path / f'a.{suffix}')
    video = open_video(path, 'pyav')
    found = video.get_batch(range(len(video))).asnumpy().mean(axis=(1, 2, 3)) / 6
    np.testing.assert_allclose(found, np.arange(40)[-len(found) :], atol=0.7)  # MOV hides those before 0
    for index in (len(found) - 1, 0, 1, 20, 4, 0, 12):
        picture = video.get_batch([index]).asnumpy()
        np.testing.assert_allclose(picture.mean() / 6, index + 40 - len(found), atol=0.7)
    assert check_video(path, 'pyav') == len(found)


@pytest.mark.parametrize('suffix', ['mkv', 'mp4', 'avi'])
def test_a_size_that_changes(tmp_path, suffix):
    path = changing_size(tmp_path / f'a.{suffix}')
    for reader in ('decord', 'pyav'):
        with pytest.raises(UnreadableVideo, match='the size of the picture changes from 64 x 64 to 96 x 96 at 0.4'):
            open_video(path, reader)
        with pytest.raises(ValueError, match='^the size of the picture changes from 64 x 64') as caught:
            check_video(path, reader)
        assert str(caught.value).count('re-encode it') == 1
    assert reencode_video(path, tmp_path / 'b.mp4', 64) == 20
    assert check_video(tmp_path / 'b.mp4') == 20


def test_a_size_that_changes_where_no_key_frame_tells(tmp_path, monkeypatch):
    path = changing_size(tmp_path / 'a.mkv')
    monkeypatch.setattr('kaizen_mm.data.video_readers.size_change', lambda path: None)
    video = open_video(path, 'pyav')
    assert video.get_batch([0, 9]).asnumpy().shape == (2, 64, 64, 3)
    with pytest.raises(ValueError, match='size of the picture changes: 64 x 64 before frame 12, then 96 x 96; re-enc'):
        video.get_batch([12, 3])
    for reader, message in (('decord', 'changes at frame 10'), ('pyav', 'changes')):
        with pytest.raises(ValueError, match=message) as caught:
            check_video(path, reader)
        assert str(caught.value).count('re-encode it') == 1


def test_a_size_is_looked_at_once_and_again_where_the_file_is_another(tmp_path, monkeypatch):
    path, calls = tmp_path / 'a.mkv', []
    opened = av.open
    monkeypatch.setattr(picture_size.av, 'open', lambda *args, **how: calls.append(args) or opened(*args, **how))
    monkeypatch.setattr(picture_size, 'MOST', 2)  # the first and the last key frame
    changing_size(path, frames=20)
    calls.clear()
    assert [picture_size.size_change(path) for _ in range(2)] == ['from 64 x 64 to 96 x 96 at 0.80 s'] * 2
    assert len(calls) == 1
    make_video(path, 'libx264')
    calls.clear()
    assert picture_size.size_change(path) is picture_size.size_change(path) is None and len(calls) == 1
    assert picture_size.size_change(tmp_path / 'none.mkv') is None


def test_frames_that_the_index_lists_and_nobody_finds(tmp_path):
    """The middle third of an AVI is zeroed: both decoders go on behind it as if nothing had been there."""
    path = make_video(tmp_path / 'a.avi')
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    path.write_bytes(content)
    assert len(decord.VideoReader(str(path))) < 18
    with pytest.raises(ValueError, match=r'damaged: \d+ of the 20 frames that its index lists are there'):
        check_video(path)
    with pytest.raises(UnreadableVideo, match='a.avi: damaged: '):  # in training too
        open_video(path)
