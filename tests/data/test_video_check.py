"""Videos that training could not read well are found by decoding them twice."""

import os
import sys

import av
import decord
import numpy as np
import pytest

from kaizen_mm.data import video_readers
from kaizen_mm.data.file_check import declared_size
from kaizen_mm.data.reencoding import reencode_video
from kaizen_mm.data.video_check import check_video, compare
from kaizen_mm.data.video_readers import READERS, check_reader, open_video
from tests.data.clips import cut, make_video

# --- damaged videos ---------------------------------------------------------


@pytest.mark.parametrize(
    'name, codec, options',
    [
        ('a.avi', 'mpeg4', {}),
        ('a.mp4', 'libx264', {}),
        ('a.mp4', 'libx264', {'movflags': 'faststart'}),
        ('a.mkv', 'libx264', {}),
        ('a.webm', 'libvpx', {}),
    ],
)
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
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(data)
    with pytest.raises(ValueError, match='decod'):
        check_video(path)


def test_single_frame(tmp_path):
    assert check_video(make_video(tmp_path / 'a.avi', frames=1)) == 1


def test_no_video_stream(tmp_path):
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('aac', rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), 'fltp', 'mono')
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match='decord cannot open it'):
        check_video(path)


# --- whole videos that are read wrongly ---------------------------------------


def test_frames_that_the_reader_misses_when_it_seeks(clip, monkeypatch):
    """As decord does in H.264 in AVI, now and then."""
    check_video(clip)

    class Lost:
        def __init__(self, path, num_threads):
            self.reader = decord.VideoReader(path)

        def __len__(self):
            return len(self.reader)

        def get_batch(self, indices):
            in_a_row = list(indices) == sorted(indices)
            return self.reader.get_batch([index if in_a_row else max(index, 1) for index in indices])

    monkeypatch.setitem(READERS, 'decord', Lost)
    with pytest.raises(ValueError, match='decord gives other frames at positions that it seeks .*; re-encode it'):
        check_video(clip)


def test_mpeg_program_streams(tmp_path):
    """Their frames are right in a row and wrong where decord seeks."""
    with pytest.raises(
        ValueError, match=r'decord cannot open it: it gives wrong frames of MPEG program streams.*re-encode'
    ):
        check_video(make_video(tmp_path / 'a.mpg', 'mpeg2video'))


def test_hidden_frames(tmp_path):
    """A cut without re-encoding begins at a key frame and hides what comes before the cut by an edit list."""
    whole = make_video(tmp_path / 'whole.mp4', 'libx264', frames=60)
    with av.open(str(whole)) as source, av.open(str(tmp_path / 'cut.mp4'), 'w') as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                packet.pts -= 20 * packet.duration
                packet.dts -= 20 * packet.duration
                target.mux(packet)
    with pytest.raises(
        ValueError,
        match=r'decord gives 60 frames, \d+ of them the same as the one before, and not the 40 that are to be '
        'shown: cut without re-encoding, or damaged; re-encode it',
    ):
        check_video(tmp_path / 'cut.mp4')


@pytest.mark.parametrize('name, codec', [('a.avi', 'mpeg4'), ('a.mp4', 'libx264')])
def test_flipped_bytes(tmp_path, name, codec):
    """Decoders hide such damage, by parts of other frames or by whole ones.

    A flipped byte of H.264 can give another valid stream, and libx264's of so small a frame are not always the same;
    that 32 of them do has not been seen.
    """
    content = bytearray(make_video(tmp_path / name, codec, size=(64, 64)).read_bytes())
    for position in range(len(content) // 4, 3 * len(content) // 4, len(content) // 64):
        content[position] ^= 255
    (tmp_path / name).write_bytes(content)
    # which of them depends on how a decoder's threads take turns
    found = 'frames do not decode whole|decoding fails|decord cannot decode it|decord gives|are not those of PyAV'
    with pytest.raises(ValueError, match=found):
        check_video(tmp_path / name)


@pytest.mark.skipif('libsvtav1' not in av.codecs_available, reason='this PyAV cannot write AV1')
def test_a_codec_that_the_reader_does_not_know(tmp_path):
    scheduling = os.sched_getscheduler(0), os.sched_getparam(0)
    path = make_video(tmp_path / 'a.mp4', 'libsvtav1', frames=3, size=(64, 64))
    os.sched_setscheduler(0, *scheduling)  # run by root, that encoder turns its process into a real-time one
    with pytest.raises(ValueError, match='decord does not know its codec, av1; re-encode it, as with ffmpeg -i FILE'):
        check_video(path)


def test_pipes_and_missing_files(tmp_path):
    os.mkfifo(tmp_path / 'pipe.mp4')
    with pytest.raises(ValueError, match='not a regular file'):
        check_video(tmp_path / 'pipe.mp4')
    with pytest.raises(ValueError, match='missing'):
        check_video(tmp_path / 'none.mp4')


def test_a_cover_picture_first(tmp_path):
    whole = make_video(tmp_path / 'whole.mp4', 'libx264')
    cover = make_video(tmp_path / 'cover.mkv', 'mjpeg', frames=1, size=(48, 48), pix_fmt='yuvj420p')
    with av.open(str(cover)) as picture, av.open(str(whole)) as source, av.open(str(tmp_path / 'a.mp4'), 'w') as target:
        first = target.add_stream_from_template(picture.streams.video[0])
        try:
            first.disposition = av.stream.Disposition.attached_pic
        except (AttributeError, TypeError):
            pytest.skip('this PyAV cannot mark a cover')
        second = target.add_stream_from_template(source.streams.video[0])
        for container, stream in ((picture, first), (source, second)):
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    assert check_video(tmp_path / 'a.mp4') == 20
    assert reencode_video(tmp_path / 'a.mp4', tmp_path / 'b.mp4', 32) == 20


def test_decoders_are_compared_frame_by_frame():
    pictures = np.random.default_rng(0).uniform(0, 255, (20, 4, 4))
    compare(pictures, pictures + 5, 'decord')
    compare(pictures[:-2], pictures, 'decord')
    for wrong in (pictures[:-3], pictures.repeat(2, axis=0)):
        with pytest.raises(ValueError, match=f'decord gives {len(wrong)} frames, .* not the 20 that are to be shown'):
            compare(wrong, pictures, 'decord')
    with pytest.raises(ValueError, match='2 of 20 frames of decord are not those of PyAV'):
        compare(pictures[[0, 2, 1, *range(3, 20)]], pictures, 'decord')
    frozen = pictures.copy()
    frozen[4:10] = frozen[4]
    with pytest.raises(ValueError, match='decord gives 20 frames, 5 of them the same as the one before'):
        compare(frozen, pictures, 'decord')
    compare(frozen, frozen, 'decord')  # a picture that stands still
    with pytest.raises(ValueError, match='another size'):
        compare(pictures, pictures[:, :3], 'decord')


# --- the other readers --------------------------------------------------------


def test_readers_that_cannot_be_used(clip, monkeypatch):
    with pytest.raises(ValueError, match=r"reader must be one of \('decord', 'pyav', 'torchcodec'\), got 'opencv'"):
        open_video(clip, 'opencv')
    monkeypatch.setitem(sys.modules, 'torchcodec.decoders', None)
    with pytest.raises(ImportError, match='pip install torchcodec.*apt-get install ffmpeg'):
        check_reader('torchcodec')


def test_torchcodec_gives_what_decord_gives(tmp_path):
    try:
        check_reader('torchcodec')
    except ImportError as error:
        pytest.skip(str(error))
    path = make_video(tmp_path / 'a.mp4', 'libx264')
    one, other = open_video(path, 'torchcodec'), open_video(path)
    assert len(one) == len(other) and one.get_avg_fps() == other.get_avg_fps()
    for indices in ([0, 5, 19], range(7), np.array([12, 3])):
        np.testing.assert_array_equal(one.get_batch(indices).asnumpy(), other.get_batch(indices).asnumpy())
    assert check_video(path, 'torchcodec') == 20


@pytest.mark.parametrize(
    'name, codec, options',
    [
        ('one_key_frame.avi', 'mpeg4', dict(g='250')),
        ('many.avi', 'mpeg4', dict(g='4', bf='2')),
        ('many.mp4', 'libx264', dict(g='5')),
        ('closed.mp4', 'libx264', dict(g='5', bf='0')),
        ('many.mkv', 'libx264', dict(g='5')),
    ],
)
def test_pyav_gives_what_decord_gives_wherever_it_seeks(tmp_path, name, codec, options):
    path = make_video(tmp_path / name, codec, coding=options)
    one, other = open_video(path, 'pyav'), open_video(path)
    assert len(one) == len(other) == 20 and one.get_avg_fps() == pytest.approx(other.get_avg_fps())
    in_a_row = open_video(path, 'pyav').get_batch(range(20)).asnumpy()
    np.testing.assert_array_equal(in_a_row, other.get_batch(range(20)).asnumpy())
    for indices in ([19], [0, 5, 19], range(7), np.array([12, 3, 12, 13]), [4, 18, 5, 6]):
        np.testing.assert_array_equal(one.get_batch(indices).asnumpy(), in_a_row[np.array(indices)])
    assert check_video(path, 'pyav') == 20
    with pytest.raises(IndexError, match='frame 20 of 20'):
        one.get_batch([20])


def test_pyav_decodes_the_frames_of_a_clip_alone(tmp_path, monkeypatch):
    reader = open_video(make_video(tmp_path / 'a.mp4', 'libx264', coding=dict(g='5', bf='0')), 'pyav')
    turned = []
    monkeypatch.setattr(
        video_readers, 'upright', lambda frame: turned.append(frame.pts) or np.zeros((2, 2, 3), np.uint8)
    )
    reader.get_batch([11, 13, 11])
    assert len(turned) == 2
    assert reader._next == 14  # it went on from frame 10, a key frame, no further than to the last one


def test_pyav_names_what_it_cannot_read(tmp_path):
    path = make_video(tmp_path / 'a.mp4', 'libx264')
    cut(path, path, 0.5)
    with pytest.raises(ValueError, match='a.mp4'):
        open_video(path, 'pyav')
    silent = tmp_path / 'a.wav'
    with av.open(str(silent), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format='s16', layout='mono')
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match='a.wav: pyav cannot open it: no video stream'):
        open_video(silent, 'pyav')
