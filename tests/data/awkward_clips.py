"""Whole videos that readers stumble over."""

from fractions import Fraction

import av
import numpy as np

from tests.data.clips import make_video

GREYS = (60, 200)  # of the first frames of two streams


def _frame(pixels):
    return av.VideoFrame.from_ndarray(pixels, format='rgb24')


def _noise(number, side=64):
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)


def two_streams(path, sizes, frames=(20, 20), default=None):
    """Frame i of the streams has the greys ``GREYS[stream] + i``."""
    with av.open(str(path), 'w') as container:
        streams = [container.add_stream('libx264', rate=25) for _ in sizes]
        for index, (stream, size) in enumerate(zip(streams, sizes)):
            stream.width, stream.height = size
            stream.disposition = av.stream.Disposition.default if index == default else 0
        for number in range(max(frames)):
            for index, stream in enumerate(streams):
                if number < frames[index]:
                    pixels = np.full((stream.height, stream.width, 3), GREYS[index] + number, np.uint8)
                    container.mux(stream.encode(_frame(pixels)))
        for stream in streams:
            container.mux(stream.encode())
    return path


def doubled_rate(path, codec='libx264', frames=20):
    """An AVI as FFmpeg copies other containers into it: at twice the rate, with an empty packet after each frame."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=50, options=dict(bf='0'))
        stream.width = stream.height = 64
        for number in range(frames):
            frame = _frame(_noise(number))
            frame.pts, frame.time_base = 2 * number, Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def below_zero(path, frames=40, hidden=12):
    """Frame i has the grey 6 i; the first timestamps are below zero. MOV hides those."""
    with av.open(str(path), 'w', options=dict(avoid_negative_ts='disabled')) as container:
        stream = container.add_stream('libx264', rate=25, options=dict(g='5'))
        stream.width = stream.height = 64
        for number in [*range(frames), None]:
            frame = None if number is None else _frame(np.full((64, 64, 3), 6 * number, np.uint8))
            for packet in stream.encode(frame):
                packet.pts, packet.dts = packet.pts - hidden, packet.dts - hidden
                container.mux(packet)
    return path


def changing_size(path, frames=10):
    """So many frames of 64 and then of 96 pixels."""
    larger = make_video(path.with_suffix('.h264'), 'libx264', frames=frames, size=(96, 96), coding=dict(bf='0'))
    with av.open(str(larger)) as source, av.open(str(path), 'w') as target:
        stream = target.add_stream('libx264', rate=25, options=dict(bf='0'))
        stream.width = stream.height = 64
        for number in range(frames):
            target.mux(stream.encode(_frame(_noise(number))))
        target.mux(stream.encode())
        packets = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
        for number, packet in enumerate(packets, start=frames):
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            target.mux(packet)
    return path
