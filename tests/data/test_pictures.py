"""One picture, whatever it is stored in."""

import cv2
import numpy as np
import pytest
from PIL import Image

from kaizen_mm.data.pictures import open_picture, read_picture

# 32 x 48 pixels whose channels differ, as do top, bottom, left and right
RAMPS = np.add.outer(np.arange(32) * 4, np.arange(48) * 2)
PIXELS = np.stack([RAMPS, 255 - RAMPS, np.flipud(RAMPS)], axis=-1).astype(np.uint8)
GRAY = PIXELS[..., 0]
ALPHA = np.fliplr(GRAY)


def _pillow(pixels, mode=None):
    image = Image.fromarray(pixels)
    return image.convert(mode) if mode else image


def _opencv(pixels, path):
    order = [2, 1, 0, 3][: pixels.shape[2]]
    assert cv2.imwrite(str(path), pixels[..., order])


def _save(image, **options):
    return lambda path: image.save(path, **options)


RGBA = np.dstack([PIXELS, ALPHA])
WIDE = PIXELS.astype(np.uint16) * 257
COLOURS = {
    'rgb.png': _save(_pillow(PIXELS)),
    '16 bits.png': lambda path: _opencv(WIDE, path),
    '16 bits.tif': lambda path: _opencv(WIDE, path),
    '16 bits and alpha.png': lambda path: _opencv(np.dstack([WIDE, WIDE[..., 0]]), path),
    'alpha.png': _save(_pillow(RGBA)),
    'alpha.webp': _save(_pillow(RGBA), lossless=True, exact=True),
    'cmyk.tif': _save(_pillow(PIXELS, 'CMYK')),
    'cmyk.jpg': _save(_pillow(PIXELS, 'CMYK'), quality=100, subsampling=0),
    'rgb.bmp': _save(_pillow(PIXELS)),
    'rgb.jp2': _save(_pillow(PIXELS)),
    'rgb.ppm': _save(_pillow(PIXELS)),
}
GRAYS = {
    '8 bits.png': _save(_pillow(GRAY)),
    '8 bits and alpha.png': _save(Image.merge('LA', (_pillow(GRAY), _pillow(ALPHA)))),
    '16 bits.png': _save(_pillow(GRAY.astype(np.uint16) * 257)),
    '16 bits.tif': _save(_pillow(GRAY.astype(np.uint16) * 257)),
    '16 bits.jp2': _save(_pillow(GRAY.astype(np.uint16) * 257)),
    '16 bits.pgm': _save(_pillow(GRAY.astype(np.int32) * 257)),
    'palette.png': _save(_pillow(GRAY, 'P')),
    'palette with a transparent colour.png': _save(_pillow(GRAY, 'P'), transparency=3),
    'palette.gif': _save(_pillow(GRAY, 'P')),
}
ALONE = {  # OpenCV does not read these, or reads them otherwise
    'alpha.tif': (PIXELS, _save(_pillow(RGBA))),
    'rgb.tga': (PIXELS, _save(_pillow(PIXELS))),
    'rgb.pcx': (PIXELS, _save(_pillow(PIXELS))),
    'integers to 255.tif': (GRAY, _save(_pillow(GRAY.astype(np.int32)))),
    'integers to 65535.tif': (GRAY, _save(_pillow(GRAY.astype(np.int32) * 257))),
    'floats to 1.tif': (GRAY, _save(_pillow((GRAY / 255).astype(np.float32)))),
    'floats to 255.tif': (GRAY, _save(_pillow(GRAY.astype(np.float32)))),
    'floats to 65535.tif': (GRAY, _save(_pillow(GRAY.astype(np.float32) * 257))),
}


def _read(path):
    picture = read_picture(path)
    assert picture.mode == 'RGB'
    return np.asarray(picture).astype(int)


def _as_training(path):
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize('name', [*COLOURS, *GRAYS])
def test_as_it_was_and_as_training_reads_it(tmp_path, name):
    for pixels, write in [(PIXELS, COLOURS.get(name)), (np.dstack([GRAY] * 3), GRAYS.get(name))]:
        if write is None:
            continue
        write(tmp_path / name)
        np.testing.assert_allclose(_read(tmp_path / name), pixels, atol=2 if 'cmyk' in name else 0)
        np.testing.assert_allclose(
            _read(tmp_path / name), _as_training(tmp_path / name), atol=1 if 'cmyk' in name else 0
        )


@pytest.mark.parametrize('name', ALONE)
def test_what_training_does_not_read(tmp_path, name):
    pixels, write = ALONE[name]
    write(tmp_path / name)
    np.testing.assert_array_equal(_read(tmp_path / name), pixels if pixels.ndim == 3 else np.dstack([pixels] * 3))


@pytest.mark.parametrize('suffix', ['png', 'webp', 'tif', 'jpg'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_upright(tmp_path, suffix, orientation):
    """Each of the eight ways of EXIF, the definitions written out."""
    turned = {  # the upright picture from the stored one
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: PIXELS.transpose(1, 0, 2)[:, ::-1],
        7: PIXELS.transpose(1, 0, 2)[::-1, ::-1],
        8: PIXELS.transpose(1, 0, 2)[::-1],
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(PIXELS).save(
        path, exif=exif, **dict(webp=dict(lossless=True, exact=True), jpg=dict(quality=100)).get(suffix, {})
    )
    np.testing.assert_allclose(_read(path), turned, atol=8 if suffix == 'jpg' else 0)
    np.testing.assert_allclose(_read(path), _as_training(path), atol=1)


def test_16_bits_are_turned_as_well(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    _pillow(GRAY.astype(np.uint16) * 257).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(_read(tmp_path / 'a.png')[..., 1], GRAY.T[:, ::-1])


def test_the_first_of_several(tmp_path):
    frames = [_pillow(np.roll(GRAY, 8 * k, axis=1), 'P') for k in range(3)]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(_read(tmp_path / 'a.gif')[..., 0], GRAY)
    with open_picture(tmp_path / 'a.gif') as image:
        assert image.n_frames == 3


@pytest.mark.parametrize('values', [[-1, 5], [0, 65536], [0.0, np.nan], [0.0, np.inf], [-0.1, 0.5]])
def test_values_without_a_white(tmp_path, values):
    array = np.array([values], np.float32 if isinstance(values[0], float) else np.int32)
    Image.fromarray(array).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match='values of 32 bits from .* expected 0 to .*255 or 65535'):
        read_picture(tmp_path / 'a.tif')


def test_formats_that_start_programs_are_not_read(tmp_path):
    (tmp_path / 'a.eps').write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n')
    with Image.open(tmp_path / 'a.eps') as image:
        assert image.format == 'EPS'  # whose loading starts Ghostscript
    with pytest.raises(Image.UnidentifiedImageError):
        read_picture(tmp_path / 'a.eps')
