"""One reader of pictures for everything that is not training: predictions, their annotated copies, reports.

What it gives is what OpenCV, with which training loads images, gives, to the bit or nearly so (JPEG in CMYK), with
these exceptions. OpenCV multiplies the colours of a TIFF with alpha by it, and gives the transparent pixels of a GIF
other colours. It does not turn AVIF. It does not read 32-bit TIFF, ``.dds``, ``.ico``, ``.pcx``, ``.sgi`` and ``.tga``.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# formats of Pillow that start other programs, or are named there but not read
_UNREAD = {'BUFR', 'EPS', 'FITS', 'GRIB', 'HDF5', 'MPEG', 'WMF'}
_WHITES = (255, 65535)  # of integers of 32 bits


def read_picture(path: str | Path) -> Image.Image:
    """A picture file as RGB of 8 bits, upright as its EXIF says.

    Of 16 bits the upper eight are kept. Values of 32 bits have no agreed white: it is the least of 1 (floats alone),
    255 and 65535 that no value exceeds. Palettes and CMYK become RGB, alpha is dropped, of several pictures the first
    one is read.

    Raises:
        PIL.UnidentifiedImageError: It is no picture, or of a format that Pillow does not read.
        OSError, ValueError: It is missing or damaged, or has values of 32 bits that are negative, NaN or above 65535.
    """
    with open_picture(path) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ('I', 'F') or upright.mode.startswith('I;'):
            upright = Image.fromarray(_eight_bits(np.asarray(upright)))
        elif upright.mode in ('RGBa', 'La'):  # multiplied by alpha
            upright = upright.convert('RGBA' if upright.mode == 'RGBa' else 'LA')
        return upright.convert('RGB')


def open_picture(path: str | Path) -> Image.Image:
    """Opens a picture without decoding it; its size, mode and number of frames are known then.

    Raises:
        PIL.UnidentifiedImageError: It is none that Pillow reads.
        OSError: It is missing or cannot be read.
    """
    Image.init()
    return Image.open(path, formats=[name for name in Image.ID if name not in _UNREAD])


def _eight_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype.itemsize == 2:
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    whites = (1, *_WHITES) if values.dtype.kind == 'f' else _WHITES
    low, high = values.min(), values.max()
    white = next((white for white in whites if low >= 0 and high <= white), None)  # none for NaN
    if white is None:
        expected = ' or '.join(map(str, whites))
        raise ValueError(f'a picture with values of 32 bits from {low:g} to {high:g}; expected 0 to {expected}')
    if white == _WHITES[-1] and values.dtype.kind != 'f':
        return (values >> 8).astype(np.uint8)
    return np.round(values * (255 / white)).astype(np.uint8)
