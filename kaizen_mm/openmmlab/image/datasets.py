"""Image data sets that are checked before training starts."""
import gzip
import zlib
from pathlib import Path
from typing import List, Optional, Sequence

import numpy as np
import torch
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

from kaizen_mm.arguments import check_choice, check_int
from kaizen_mm.data.class_names import names_beside, names_of_folders
from kaizen_mm.openmmlab.image.in_memory import InMemoryImages

_SPLITS = {'train': 'train', 'test': 't10k'}


@DATASETS.register_module()
class ImageFolderDataset(CustomDataset):
    """Images in one folder per class, or from a list of ``file label`` lines.

    As mmpretrain's ``CustomDataset``, but folder, classes and list are checked when the data set is
    built, and an image that cannot be decoded is named when it comes up. The names of the classes, which checkpoints
    keep, are those of ``metainfo`` or ``classes``, or those of a ``classes.txt`` in ``data_root`` (or beside the list),
    see :func:`~kaizen_mm.data.class_names.names_of_folders`, or the folders'.

    Args:
        data_root: Folder that ``data_prefix`` and ``ann_file`` are relative to.
        data_prefix: Folder with one sub-folder per class, such as ``'train'``.
        num_classes: Number of classes; None leaves it unchecked.
        kwargs: Those of ``CustomDataset``.

    Raises:
        FileNotFoundError: The folder or the list is missing, or there is no image in it.
        ValueError: A line of the list has no label, or the number of classes or a label does not fit
            ``num_classes``; ``classes.txt`` names another number of classes.
    """

    def __init__(self, data_root: str = '', data_prefix: str = '', ann_file: str = '',
                 num_classes: Optional[int] = None, **kwargs):
        self.num_classes = num_classes
        super().__init__(data_root=data_root, data_prefix=data_prefix, ann_file=ann_file, **kwargs)

    def load_data_list(self) -> List[dict]:
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(f'data_root, data_prefix: no folder {folder}; it must hold '
                                    f'{"the images of ann_file" if self.ann_file else "one folder of images per class"}')
        if self.ann_file and not Path(self.ann_file).is_file():
            raise FileNotFoundError(f'ann_file: no file {self.ann_file}; it must be a list of "file label" lines')
        if self.with_label:
            self._check_list() if self.ann_file else self._check_classes(folder)
            self._name_classes(folder)
        images = super().load_data_list()
        if not images:
            raise FileNotFoundError(f'ann_file: {self.ann_file} lists no image')
        for image in images:
            label = image.get('gt_label', 0)
            if self.num_classes is not None and not 0 <= label < self.num_classes:
                raise ValueError(f'label {label} of {image["img_path"]} is out of range; num_classes is '
                                 f'{self.num_classes}, so labels go from 0 to {self.num_classes - 1}')
        return images

    def _check_list(self):
        with open(self.ann_file, encoding='utf-8') as lines:
            for number, line in enumerate(lines, start=1):
                name, _, label = line.strip().rpartition(' ')
                if not name or not label.isdecimal():
                    raise ValueError(f'{self.ann_file}:{number}: expected "file label" with a label >= 0, got '
                                     f'{line.rstrip()!r}')

    def _check_classes(self, folder):
        classes = sorted(p for p in folder.iterdir() if p.is_dir())
        if self.num_classes is not None and len(classes) != self.num_classes:
            raise ValueError(f'num_classes is {self.num_classes}, but {folder} has {len(classes)} folders; there must '
                             'be one for each class')
        for path in classes:
            if not any(self.is_valid_file(p.name) for p in path.rglob('*')):
                raise FileNotFoundError(f'no image in {path}; images end in {", ".join(sorted(self.extensions))}')
        if not classes:
            raise FileNotFoundError(f'no folder in {folder}; there must be one for each class, with its images')

    def _name_classes(self, folder):
        if self.CLASSES is not None:
            return
        if self.ann_file:
            names = names_beside(self.ann_file, self.num_classes)
        else:
            names = names_of_folders(self.data_root, sorted(p.name for p in folder.iterdir() if p.is_dir()))
        if names:
            self._metainfo['classes'] = tuple(names)

    def prepare_data(self, idx: int):
        try:
            return super().prepare_data(idx)
        except Exception as error:
            name = self.get_data_info(idx)['img_path']
            raise RuntimeError(f'cannot load {name}: {type(error).__name__}: {error}; mend it or take it out') from error


@DATASETS.register_module()
class MnistInMemory(InMemoryImages):
    """The MNIST digits, served from memory batch by batch.

    A network as small as the one here spends its time in loading and packing single images. This data
    set gives whole batches; its ``collate_fn`` is ``dict(type='keep_batch')``.

    Args:
        data_root: Folder with the four files of the original distribution, packed (``.gz``) or not.
        split: ``'train'`` (60,000 images) or ``'test'`` (10,000).
        max_images: Take only so many images, evenly spaced. Default all.
        pipeline: Transforms of a single image; batches do without. Default none.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is no MNIST file, or an argument cannot be used.
    """

    metainfo = dict(classes=tuple('0123456789'))

    def __init__(self, data_root: str, split: str, max_images: Optional[int] = None, pipeline: Sequence[dict] = ()):
        check_choice('split', split, tuple(sorted(_SPLITS)))
        images = _read_idx(Path(data_root), f'{_SPLITS[split]}-images-idx3-ubyte', 3)
        labels = _read_idx(Path(data_root), f'{_SPLITS[split]}-labels-idx1-ubyte', 1)
        if not 0 < len(labels) == len(images) or images.shape[1:] != (28, 28) or labels.max() > 9:
            raise ValueError(f'{data_root} must hold as many 28x28 images as labels from 0 to 9, got images of shape '
                             f'{images.shape} and {len(labels)} labels up to {labels.max(initial=0)}')
        if max_images is not None:
            check_int('max_images', max_images, 1, len(images))
            chosen = np.linspace(0, len(images) - 1, max_images).astype(int)
            images, labels = images[chosen], labels[chosen]
        super().__init__(torch.from_numpy(images).unsqueeze(1), labels, pipeline)  # [N, 1, 28, 28]


def _read_idx(folder: Path, name: str, dims: int) -> np.ndarray:
    """Reads a file of the idx format: magic number, sizes (big-endian int32), then uint8 values."""
    path = folder / name
    packed = folder / f'{name}.gz'
    if not path.is_file() and not packed.is_file():
        raise FileNotFoundError(f'data_root: neither {name} nor {name}.gz in {folder}; it must be the folder of the '
                                'four MNIST files')
    try:
        content = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
        header = np.frombuffer(content, '>i4', dims + 1)
        values = np.frombuffer(content, np.uint8, offset=4 * len(header))
        if header[0] != 0x0800 + dims:
            raise ValueError(f'it starts with {header[0]:#x} instead of {0x0800 + dims:#x}')
        return values.reshape(header[1:]).copy()
    except (ValueError, EOFError, OSError, zlib.error) as error:
        used = path if path.is_file() else packed
        raise ValueError(f'{used} is no idx file of {dims} dimensions, or cut off: {error}') from error
