"""Videos and photos to measure loading with: what is at hand, or made ones."""

import itertools
import os
from pathlib import Path

import av
import cv2
import numpy as np

UCF101 = (320, 240)
_TEXTURE = 7  # pixels over which made pictures vary


def videos(folder: str | None, made: Path, frames: int = 164) -> tuple[str, list[Path]]:
    """What they are, and the files.

    Args:
        folder: With videos; None for ``$KAIZEN_DATA/ucf101_samples`` if it is there, else two videos of UCF101's size
            and coding (MPEG-4 in AVI, one key frame) are made.
        made: Folder for these.
        frames: Of each.

    Raises:
        ValueError: There are none in the folder.
    """
    samples = Path(os.environ.get('KAIZEN_DATA', 'data'), 'ucf101_samples')
    if folder is None and samples.is_dir():
        folder = str(samples)
    if folder is not None:
        found = sorted(path for path in Path(folder).iterdir() if path.suffix in ('.avi', '.mp4', '.mkv', '.webm'))
        if not found:
            raise ValueError(f'--videos must be a folder with videos, got {folder}')
        return Path(folder).name, found
    paths = [made / f'made_{seed}.avi' for seed in range(2)]
    for seed, path in enumerate(paths):
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('mpeg4', rate=25, options=dict(g='250', qscale='4', flags='+qscale'))
            stream.width, stream.height = UCF101
            stream.pix_fmt = 'yuv420p'
            big = picture(seed, 2 * UCF101[0], 2 * UCF101[1])
            for index in range(frames):
                x, y = index % UCF101[0], index // 2 % UCF101[1]
                view = np.ascontiguousarray(big[y : y + UCF101[1], x : x + UCF101[0]])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format='rgb24')))
            container.mux(stream.encode())
    return 'made videos', paths


def photos(files: list[Path], folder: Path, size: tuple[int, int] = (500, 375), number: int = 8) -> list[Path]:
    """JPEG files of ImageNet's usual size, of frames of the videos, at quality 90."""
    paths = []
    for index in range(number):
        with av.open(str(files[index % len(files)])) as container:
            frame = next(itertools.islice(container.decode(video=0), 3 * index, None))
            picture = cv2.resize(frame.to_ndarray(format='bgr24'), size, interpolation=cv2.INTER_CUBIC)
        # cameras' noise, which scaling up has smoothed away
        picture = np.clip(picture + np.random.default_rng(index).normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f'{index}.jpg')
        cv2.imwrite(str(paths[-1]), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def picture(seed: int, width: int, height: int) -> np.ndarray:
    """A smooth random picture, uint8 RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // _TEXTURE, width // _TEXTURE, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
