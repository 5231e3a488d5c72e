"""CIFAR-10 from memory, cut into the parts that a study with choices needs."""

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmpretrain.registry import DATASETS
from PIL import Image
from torch import Tensor

from kaizen_mm.arguments import check_choice, check_flag, check_int, is_int
from kaizen_mm.openmmlab.image.in_memory import InMemoryImages

CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
# of the 50,000 training photos, with which the first 1,000 test photos are put together
SPLITS = {'train': slice(0, 30_000), 'val': slice(30_000, 40_000), 'test': slice(40_000, 51_000)}
SHEETS, ROWS, COLUMNS, SIDE = 51, 25, 40, 32


@DATASETS.register_module()
class CifarInMemory(InMemoryImages):
    """CIFAR-10 (Krizhevsky 2009), served from memory batch by batch; its ``collate_fn`` is ``dict(type='keep_batch')``.

    The first 30,000 training photos are trained on, the next 10,000 are there for choices, and the last 10,000 with the
    first 1,000 test photos for the result: no choice is to see them.

    Args:
        data_root: Folder with the photos in their order as ``sheet_00.webp`` to ``sheet_50.webp``, each 25 rows of 40
            photos without loss, and ``labels.txt``, 51,000 lines; the last sheet holds test photos.
        split: ``'train'`` (30,000 photos), ``'val'`` (10,000) or ``'test'`` (11,000).
        augment: Whether batches are padded by an eighth of their side and cropped at random, and half of the photos
            flipped. Default False.
        side: Pixels of the photos, 32 (default), 16 or 8: means over squares of the original ones.
        max_images: Take only so many photos, the first ones. Default all.
        pipeline: Transforms of a single photo; batches do without. Default none.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is of another size, or an argument cannot be used.
    """

    metainfo = dict(classes=CLASSES)

    def __init__(
        self,
        data_root: str,
        split: str,
        augment: bool = False,
        side: int = SIDE,
        max_images: Optional[int] = None,
        pipeline: Sequence[dict] = (),
    ):
        check_choice('split', split, tuple(sorted(SPLITS)))
        check_flag('augment', augment)
        if not is_int(side) or side not in (SIDE, SIDE // 2, SIDE // 4):
            raise ValueError(f'side must be 32, 16 or 8, got {side!r}')
        part = range(SHEETS * ROWS * COLUMNS)[SPLITS[split]]
        if max_images is not None:
            check_int('max_images', max_images, 1, len(part))
            part = part[:max_images]
        images, labels = _read(Path(data_root), part)
        images = _smaller(images, side)
        super().__init__(
            torch.from_numpy(images).permute(0, 3, 1, 2), labels, pipeline
        )  # [N, 3, side, side], channels last
        self.augment = augment

    @staticmethod
    def file_names(split: str) -> Tuple[str, ...]:
        """The files of a split in ``data_root``."""
        check_choice('split', split, tuple(sorted(SPLITS)))
        return ('labels.txt', *_sheets(range(SHEETS * ROWS * COLUMNS)[SPLITS[split]]))

    def __getitems__(self, indices: Sequence[int]) -> dict:
        """A batch: inputs ``[len(indices), 3, side, side]`` (uint8) and as many data samples."""
        batch = super().__getitems__(indices)
        if self.augment:
            batch['inputs'] = shifted_and_flipped(batch['inputs'], batch['inputs'].shape[-1] // 8)
        return batch


def shifted_and_flipped(images: Tensor, shift: int = 4) -> Tensor:
    """Images ``[N, C, H, W]`` moved by up to ``shift`` pixels in both directions, zeros coming in, and half of them
    flipped."""
    count, _, height, width = images.shape
    padded = F.pad(images, (shift,) * 4)
    top, left = torch.randint(2 * shift + 1, (2, count, 1))
    rows, columns = top + torch.arange(height), left + torch.arange(width)  # [N, H], [N, W]
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    which = torch.arange(count)[:, None, None]
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)  # [N, H, W, C] -> [N, C, H, W]


def _smaller(photos: np.ndarray, side: int) -> np.ndarray:
    """Photos ``[N, S, S, C]`` averaged over squares, rounded, ``[N, side, side, C]``."""
    count, size, _, channels = photos.shape
    if side == size:
        return photos
    squares = photos.reshape(count, side, size // side, side, size // side, channels)
    return np.rint(squares.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)


def _sheets(part: range) -> List[str]:
    size = ROWS * COLUMNS
    return [f'sheet_{sheet:02d}.webp' for sheet in range(part.start // size, (part.stop - 1) // size + 1)]


def _read(folder: Path, part: range) -> Tuple[np.ndarray, np.ndarray]:
    """The photos ``[N, 32, 32, 3]`` and labels ``[N]`` with the numbers of ``part``, from the sheets that hold them."""
    size = ROWS * COLUMNS
    names = _sheets(part)
    for name in ('labels.txt', *names):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f'data_root: no {name} in {folder}; it must be the folder of the sheets of CIFAR-10'
            )
    labels = np.loadtxt(folder / 'labels.txt', dtype=np.int64)
    if labels.shape != (SHEETS * size,) or not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise ValueError(
            f'{folder / "labels.txt"} must have {SHEETS * size} labels from 0 to {len(CLASSES) - 1}, got '
            f'{labels.size} from {labels.min()} to {labels.max()}'
        )
    photos = np.concatenate([_sheet(folder / name) for name in names])
    first = part.start // size * size
    return photos[part.start - first : part.stop - first], labels[part.start : part.stop]


def _sheet(path: Path) -> np.ndarray:
    pixels = np.asarray(Image.open(path).convert('RGB'))
    if pixels.shape != (ROWS * SIDE, COLUMNS * SIDE, 3):
        raise ValueError(
            f'{path} must be of {COLUMNS * SIDE} x {ROWS * SIDE} pixels, got {pixels.shape[1]} x {pixels.shape[0]}'
        )
    return pixels.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3)
