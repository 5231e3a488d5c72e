"""Images that are kept in memory and served batch by batch."""

import itertools
import weakref
from typing import List, Optional, Sequence, Union

import cv2
import numpy as np
import torch
from mmcv.transforms import TestTimeAug
from mmengine.dataset import Compose, pseudo_collate
from mmengine.fileio import BaseStorageBackend, register_backend
from mmengine.registry import FUNCTIONS
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

_SCHEME = 'in_memory'
_DATASETS = weakref.WeakValueDictionary()  # by number, for the storage backend
_NUMBERS = itertools.count()


class InMemoryImages(Dataset):
    """Base class of data sets whose images are all in memory.

    Batches come whole, past any pipeline; their ``collate_fn`` is ``dict(type='keep_batch')``. For a single image, as
    mmpretrain's tools and inferencers want it, the pipeline is run, whose ``LoadImageFromFile`` finds the image under
    the path that :meth:`get_data_info` gives.

    Args:
        images: ``[N, C, H, W]``, uint8; grayscale or RGB.
        labels: ``[N]``, ints.
        pipeline: Transforms of a single image. Default none.
    """

    metainfo: dict = {}

    def __init__(self, images: torch.Tensor, labels: np.ndarray, pipeline: Sequence[dict] = ()):
        self.images, self.labels = images, labels
        self.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])
        self._gt_labels = torch.from_numpy(labels.astype(np.int64)).split(1)
        self._number = next(_NUMBERS)
        _DATASETS[self._number] = self

    @property
    def CLASSES(self) -> Optional[Sequence[str]]:
        """Names of the classes."""
        return self.metainfo.get('classes')

    def __len__(self) -> int:
        return len(self.images)

    def get_data_info(self, index: int) -> dict:
        """What a pipeline starts from: ``img_path``, ``gt_label`` and ``sample_idx``."""
        return dict(
            img_path=f'{_SCHEME}://{self._number}/{index:05d}.png', gt_label=int(self.labels[index]), sample_idx=index
        )

    def __getitem__(self, index: int) -> dict:
        return self.pipeline(
            dict(self.get_data_info(index), inputs=self.images[index], data_samples=self._sample(index))
        )

    def __getitems__(self, indices: Sequence[int]) -> Union[dict, List[dict]]:
        """A batch: inputs ``[len(indices), C, H, W]`` (uint8) and as many data samples; with a ``TestTimeAug`` in the
        pipeline what it makes of each image."""
        if any(isinstance(step, TestTimeAug) for step in self.pipeline.transforms):
            return [self[index] for index in indices]
        return dict(inputs=self.images[indices], data_samples=[self._sample(i) for i in indices])

    def _sample(self, index):
        # made anew: mmpretrain writes soft labels and predictions to it
        return DataSample(gt_label=self._gt_labels[index], metainfo=dict(sample_idx=index))

    def get_gt_labels(self) -> np.ndarray:
        """All labels, ``[N]``."""
        return self.labels


@register_backend(_SCHEME, prefixes=_SCHEME, force=True)
class InMemoryBackend(BaseStorageBackend):
    """Gives the images of :class:`InMemoryImages` as PNG files to what wants to load files."""

    def get(self, filepath: str) -> bytes:
        number, name = filepath.split('://')[1].split('/')
        image = _DATASETS[int(number)].images[int(name.split('.')[0])].permute(1, 2, 0).numpy()  # [H, W, C], RGB
        return cv2.imencode('.png', image[..., ::-1])[1].tobytes()

    def get_text(self, filepath: str) -> str:
        raise NotImplementedError(f'{filepath} is an image')


@FUNCTIONS.register_module()
def keep_batch(batch):
    """Collate function for data sets that give whole batches; views of images are laid together by view."""
    return pseudo_collate(batch) if isinstance(batch, list) else batch
