"""Image data sets that are checked before training starts."""

import gzip
import logging
import os
import os.path as osp
import zlib
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import get_samples
from mmpretrain.registry import DATASETS

from kaizen_mm.arguments import check_choice, check_int
from kaizen_mm.data.class_names import class_folders, is_hidden, names_beside, names_of_folders, one_sided
from kaizen_mm.data.file_check import file_fault
from kaizen_mm.data.lists import numbered_lines
from kaizen_mm.openmmlab.class_names import names_or_warning
from kaizen_mm.openmmlab.file_dataset import FileDataset
from kaizen_mm.openmmlab.image.in_memory import InMemoryImages
from kaizen_mm.openmmlab.named_configs import set_by_environment

# what OpenCV, with which mmcv loads images, reads
EXTENSIONS = (
    '.jpg',
    '.jpeg',
    '.jpe',
    '.jp2',
    '.png',
    '.webp',
    '.avif',
    '.gif',
    '.bmp',
    '.dib',
    '.tif',
    '.tiff',
    '.ppm',
    '.pgm',
    '.pbm',
    '.pnm',
)
HELD_OUT = 10_000  # of MNIST's training images, the last ones, for choices
_SPLITS = {'train': 'train', 'fit': 'train', 'val': 'train', 'test': 't10k'}  # and their files


@DATASETS.register_module()
class ImageFolderDataset(FileDataset, CustomDataset):
    """Images in one folder per class, or from a list of ``file label`` lines.

    As mmpretrain's ``CustomDataset``, but folder, classes and list are checked when the data set is
    built, and an image that cannot be decoded is named when it comes up. The names of the classes, which checkpoints
    keep, are those of ``metainfo`` or ``classes``, or those of a ``classes.txt`` in ``data_root`` (or beside the list),
    see :func:`~kaizen_mm.data.class_names.names_of_folders`, or the folders'.

    Args:
        data_root: Folder that ``data_prefix`` and ``ann_file`` are relative to.
        data_prefix: Folder with one sub-folder per class, such as ``'train'``.
        ann_file: A list, see :mod:`kaizen_mm.data.lists`. Default: one class for each folder.
        num_classes: Number of classes; None leaves it unchecked.
        extensions: Endings of images' names. Default: those that OpenCV reads; of a moving ``.gif`` or ``.webp`` it
            reads the first picture. Other files in the folders are named by a warning. What is
            hidden, or in a hidden folder or ``__MACOSX``, is passed over.
        kwargs: Those of :class:`~kaizen_mm.openmmlab.file_dataset.FileDataset`, such as ``max_unreadable``, and of
            ``CustomDataset``.

    Raises:
        FileNotFoundError: The folder, the list or an image is missing, such as a link to nothing; an image is no
            regular file; or there is no image in a folder.
        ValueError: A line of the list has no label, a file two, all have the same in training, or the number of
            classes or a label does not fit ``num_classes``.
    """

    file_key = 'img_path'

    def __init__(
        self,
        data_root: str = '',
        data_prefix: str = '',
        ann_file: str = '',
        num_classes: Optional[int] = None,
        extensions: Sequence[str] = EXTENSIONS,
        **kwargs,
    ):
        if num_classes is not None:
            check_int('num_classes', num_classes)
        self.num_classes = num_classes
        super().__init__(
            data_root=data_root, data_prefix=data_prefix, ann_file=ann_file, extensions=extensions, **kwargs
        )

    def load_data_list(self) -> List[dict]:
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(
                f'data_root, data_prefix: no folder {folder}; it must hold '
                f'{"the images of ann_file" if self.ann_file else "one folder of images per class"}'
            )
        if self.ann_file:
            images = self._load_list()
        else:
            if self.with_label:
                self._check_classes(folder)
                self.name_classes()
            images = [i for i in super().load_data_list() if not is_hidden(osp.relpath(i['img_path'], folder))]
            self._check_others(folder, {osp.normpath(image['img_path']) for image in images})
        if self.with_label:
            self.check_labels([image['gt_label'] for image in images])
        return images

    def _load_list(self):
        if self.with_label:
            entries = self.read_entries(self.num_classes)
            self.name_classes()
            lines = [entry.line for entry in entries]
            images = [dict(img_path=osp.join(self.img_prefix, e.file), gt_label=e.label) for e in entries]
        else:
            named = list(numbered_lines(self.read_content()))
            lines = [line for line, _ in named]
            images = [dict(img_path=osp.join(self.img_prefix, name.strip())) for _, name in named]
        self.check_files([image['img_path'] for image in images], lines)
        return images

    def _check_others(self, folder, images):
        """Names what is in the folder beside the images that were found."""
        others, faults = [], []
        for root, folders, files in os.walk(folder, followlinks=True):
            folders[:] = [name for name in folders if not is_hidden(name)]
            for path in (osp.join(root, name) for name in files if not name.startswith('.')):
                if osp.normpath(path) not in images:
                    fault = file_fault(path) if self.is_valid_file(path) else None
                    faults.append(f'{path}: {fault}') if fault else others.append(path)
        if faults:
            raise FileNotFoundError(
                f'{len(faults)} images of {folder} cannot be read: {"; ".join(faults[:5])}; {self.remedy}'
            )
        if others:
            print_log(
                f'{len(others)} files in {folder} are not used, as their names do not end in one of '
                f'{", ".join(sorted(self.extensions))}, or they are in no folder of a class: '
                f'{", ".join(sorted(others)[:10])}{" ..." if len(others) > 10 else ""}',
                logger='current',
                level=logging.WARNING,
            )

    def _check_classes(self, folder):
        classes = [folder / name for name in class_folders(folder)]
        if self.num_classes is not None and len(classes) != self.num_classes:
            raise ValueError(
                f'num_classes is {self.num_classes}{set_by_environment(self.num_classes)}, but {folder} has '
                f'{len(classes)} folders; there must be one for each class{_against_siblings(folder, self.num_classes)}'
            )
        for path in classes:
            if not any(self.is_valid_file(p.name) and not is_hidden(p.relative_to(path)) for p in path.rglob('*')):
                raise FileNotFoundError(f'no image in {path}; images end in {", ".join(sorted(self.extensions))}')
        if not classes:
            raise FileNotFoundError(f'no folder in {folder}; there must be one for each class, with its images')

    def name_classes(self) -> None:
        """Finds out the names of the classes, and their folders, without a look at the images.

        Raises:
            FileNotFoundError: There is no such folder.
        """
        if not self.ann_file:
            folders = class_folders(self.img_prefix)
            self._metainfo['folders'] = tuple(folders)
        if self.CLASSES is not None:
            return
        if self.ann_file:
            names = names_or_warning(names_beside, self.ann_file, self.num_classes)
        else:
            names = names_or_warning(names_of_folders, self.data_root, folders)
        if names:
            self._metainfo['classes'] = tuple(names)

    def _find_samples(self) -> List[Tuple[str, int]]:
        """As in mmpretrain, which takes hidden folders for classes."""
        if not self.with_label:
            return super()._find_samples()
        self.folder_to_idx = {name: label for label, name in enumerate(class_folders(self.img_prefix))}
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(self.folder_to_idx)
        elif len(self.CLASSES) != len(self.folder_to_idx):
            raise ValueError(
                f'classes has {len(self.CLASSES)} names, but {self.img_prefix} has {len(self.folder_to_idx)} folders; '
                'there must be one for each class'
            )
        return get_samples(self.img_prefix, self.folder_to_idx, is_valid_file=self.is_valid_file)[0]


def _against_siblings(folder: Path, num_classes: int) -> str:
    """How folders of classes differ from those of another split beside them that has the right number."""
    for other in sorted(path for path in folder.parent.iterdir() if path.is_dir() and path != folder):
        if len(class_folders(other)) == num_classes:
            return f'. {one_sided(class_folders(folder), class_folders(other), str(folder), str(other))}'
    return ''


@DATASETS.register_module()
class MnistInMemory(InMemoryImages):
    """The MNIST digits, served from memory batch by batch.

    A network as small as the one here spends its time in loading and packing single images. This data
    set gives whole batches; its ``collate_fn`` is ``dict(type='keep_batch')``.

    Args:
        data_root: Folder with the four files of the original distribution, packed (``.gz``) or not.
        split: ``'train'`` (60,000 images) or ``'test'`` (10,000); for choices, that are not to see the test images,
            ``'fit'`` (the first 50,000 training images) and ``'val'`` (the last 10,000).
        max_images: Take only so many images, evenly spaced. Default all.
        pipeline: Transforms of a single image; batches do without. Default none.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is no MNIST file, or an argument cannot be used.
    """

    metainfo = dict(classes=tuple('0123456789'))

    def __init__(self, data_root: str, split: str, max_images: Optional[int] = None, pipeline: Sequence[dict] = ()):
        images, labels = (_read_idx(Path(data_root), name, n) for name, n in zip(self.file_names(split), (3, 1)))
        if not 0 < len(labels) == len(images) or images.shape[1:] != (28, 28) or labels.max() > 9:
            raise ValueError(
                f'{data_root} must hold as many 28x28 images as labels from 0 to 9, got images of shape '
                f'{images.shape} and {len(labels)} labels up to {labels.max(initial=0)}'
            )
        part = {'fit': slice(None, -HELD_OUT), 'val': slice(-HELD_OUT, None)}.get(split, slice(None))
        images, labels = images[part], labels[part]
        if max_images is not None:
            check_int('max_images', max_images, 1, len(images))
            chosen = np.linspace(0, len(images) - 1, max_images).astype(int)
            images, labels = images[chosen], labels[chosen]
        super().__init__(torch.from_numpy(images).unsqueeze(1), labels, pipeline)  # [N, 1, 28, 28]

    @staticmethod
    def file_names(split: str) -> Tuple[str, ...]:
        """The files of a split in ``data_root``: images and labels, and the same packed."""
        check_choice('split', split, tuple(sorted(_SPLITS)))
        names = [f'{_SPLITS[split]}-{part}-ubyte' for part in ('images-idx3', 'labels-idx1')]
        return (*names, *(f'{name}.gz' for name in names))


def _read_idx(folder: Path, name: str, dims: int) -> np.ndarray:
    """Reads a file of the idx format: magic number, sizes (big-endian int32), then uint8 values."""
    path = folder / name
    packed = folder / f'{name}.gz'
    if not path.is_file() and not packed.is_file():
        raise FileNotFoundError(
            f'data_root: neither {name} nor {name}.gz in {folder}; it must be the folder of the four MNIST files'
        )
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
