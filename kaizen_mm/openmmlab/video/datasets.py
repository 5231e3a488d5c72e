"""A video data set that checks its list before training starts."""
import os.path as osp
from typing import List, Optional

from mmaction.datasets import VideoDataset
from mmaction.registry import DATASETS
from mmengine.fileio import exists, list_from_file

from kaizen_mm.data.class_names import names_beside


@DATASETS.register_module()
class VideoListDataset(VideoDataset):
    """Videos from a list of ``file label`` lines.

    As mmaction2's ``VideoDataset``, but the whole list is checked when the data set is built, and
    a video that cannot be decoded is named when it comes up. The names of the classes, which checkpoints keep, are
    those of ``metainfo``, or of a ``classes.txt`` beside the list with one name a line.

    Args:
        ann_file: The list, one ``file label`` line per video, labels from 0. File names are
            relative to ``data_prefix['video']``.
        num_classes: Number of classes; None leaves the labels' upper bound unchecked.
        check_files: Whether each file must exist when the data set is built. Default True.
        kwargs: Those of ``VideoDataset``.

    Raises:
        FileNotFoundError: The list or a video is missing.
        ValueError: A malformed line, a label out of range, an empty list, or a ``classes.txt`` with another number of
            names than ``num_classes``.
    """

    def __init__(self, ann_file: str, *args, num_classes: Optional[int] = None, check_files: bool = True, **kwargs):
        self.check_files = check_files
        super().__init__(ann_file, *args, num_classes=num_classes, **kwargs)

    def load_data_list(self) -> List[dict]:
        if not exists(self.ann_file):
            raise FileNotFoundError(f'ann_file: no file {self.ann_file}; it must be a list of "file label" '
                                    'lines, tools/prepare_data.py makes one')
        root = self.data_prefix.get('video') or ''
        videos = []
        for number, line in enumerate(list_from_file(self.ann_file), start=1):
            if not line.strip():
                continue
            name, _, label = line.strip().rpartition(self.delimiter)
            if not name or not label.isdigit():
                raise ValueError(f'{self.ann_file}:{number}: expected "file label" with a label >= 0, got {line!r}')
            if self.num_classes is not None and int(label) >= self.num_classes:
                raise ValueError(f'{self.ann_file}:{number}: label {label} of {name} is out of range; num_classes '
                                 f'is {self.num_classes}, so labels go from 0 to {self.num_classes - 1}')
            videos.append(dict(filename=osp.join(root, name), label=int(label)))
        if not videos:
            raise ValueError(f'{self.ann_file} lists no video')
        self._name_classes()
        if self.check_files:
            missing = [v['filename'] for v in videos if not exists(v['filename'])]
            if missing:
                raise FileNotFoundError(f'{len(missing)} of {len(videos)} videos of {self.ann_file} are missing, '
                                        f'first {missing[:3]}; is data_prefix right? tools/prepare_data.py list '
                                        'leaves missing ones out')
        return videos

    def _name_classes(self):
        if 'classes' not in self._metainfo:
            names = names_beside(self.ann_file, self.num_classes)
            if names:
                self._metainfo['classes'] = tuple(names)

    def prepare_data(self, idx: int) -> dict:
        try:
            return super().prepare_data(idx)
        except Exception as error:
            name = self.get_data_info(idx)['filename']
            raise RuntimeError(f'cannot load {name}: {type(error).__name__}: {error}; tools/prepare_data.py list '
                               'leaves videos out that cannot be decoded') from error
