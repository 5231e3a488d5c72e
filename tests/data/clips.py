"""Videos and lists that the tests of this folder make."""

from pathlib import Path

import av
import numpy as np

QUIET = dict(workers=2, progress=False)
UCF_TRAIN = ['Archery/v_Archery_g08_c01.avi', 'Biking/v_Biking_g08_c01.avi']
UCF_TEST = ['Archery/v_Archery_g01_c01.avi', 'Biking/v_Biking_g01_c01.avi']


def make_video(path, codec='mpeg4', frames=20, size=(32, 32), pix_fmt='yuv420p', coding=None, **options):
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w', options=options) as container:
        stream = container.add_stream(codec, rate=25, options=coding)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        for _ in range(frames):
            image = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return path


def part(source, target, start, end):
    """The frames from start to end of a video whose frames are each coded alone, packet by packet."""
    with av.open(str(source)) as opened, av.open(str(target), 'w') as made:
        stream = made.add_stream_from_template(opened.streams.video[0])
        packets = [packet for packet in opened.demux(opened.streams.video[0]) if packet.size]
        first = packets[start]
        for packet in packets[start:end]:
            packet.pts, packet.dts = packet.pts - first.dts, packet.dts - first.dts
            packet.stream = stream
            made.mux(packet)
    return target


def cut(source, target, fraction):
    data = Path(source).read_bytes()
    target.write_bytes(data[: int(len(data) * fraction)])
    return target


def write(file, *lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(''.join(f'{line}\n' for line in lines))
    return file


def contents(folder):
    return {p.relative_to(folder): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob('*') if p.is_file()}
