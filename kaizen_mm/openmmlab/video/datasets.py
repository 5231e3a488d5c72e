"""A video data set that checks its list before training starts."""

import os.path as osp
from typing import List, Optional, Sequence

from mmaction.datasets import VideoDataset
from mmaction.registry import DATASETS

from kaizen_mm.arguments import check_flag, check_int
from kaizen_mm.data.class_names import names_beside
from kaizen_mm.openmmlab.class_names import names_or_warning
from kaizen_mm.openmmlab.file_dataset import FileDataset
from kaizen_mm.openmmlab.pipelines import read_by_path


@DATASETS.register_module()
class VideoListDataset(FileDataset, VideoDataset):
    """Videos from a list of ``file label`` lines.

    As mmaction2's ``VideoDataset``, but the whole list is checked when the data set is built, and a video that cannot
    be decoded is named when it comes up. The names of the classes, which checkpoints keep, are those of ``metainfo``,
    or of a ``classes.txt`` beside the list with one name a line; one with more or fewer names than classes is passed
    over with a warning.

    Args:
        ann_file: The list, one ``file label`` line per video, labels from 0, see :mod:`kaizen_mm.data.lists`. File
            names are relative to ``data_prefix['video']``.
        pipeline: The steps; ``DecordInit`` of local files opens them by path, as ``VideoInit`` does.
        num_classes: Number of classes; None leaves the labels' upper bound unchecked.
        check_files: Whether each file must exist when the data set is built. Default True.
        kwargs: Those of :class:`~kaizen_mm.openmmlab.file_dataset.FileDataset`, such as ``max_unreadable``, and of
            ``VideoDataset``.

    Raises:
        FileNotFoundError: The list or a video is missing, or a video is no regular file.
        ValueError: A malformed line, a label out of range, a file with two labels, an empty list, one class only in
            training.
    """

    file_key = 'filename'
    remedy = 'tools/prepare_data.py list leaves videos out that cannot be read'

    def __init__(
        self,
        ann_file: str,
        pipeline: Sequence,
        *args,
        num_classes: Optional[int] = None,
        check_files: bool = True,
        **kwargs,
    ):
        check_flag('check_files', check_files)
        if num_classes is not None:
            check_int('num_classes', num_classes)
        self._checks_files = check_files
        super().__init__(ann_file, read_by_path(pipeline), *args, num_classes=num_classes, **kwargs)

    def load_data_list(self) -> List[dict]:
        entries = self.read_entries(self.num_classes, self.delimiter)
        self.name_classes()
        root = self.data_prefix.get('video') or ''
        videos = [dict(filename=osp.join(root, entry.file), label=entry.label) for entry in entries]
        if self._checks_files:
            self.check_files([video['filename'] for video in videos], [entry.line for entry in entries])
        self.check_labels([entry.label for entry in entries])
        return videos

    def get_cat_ids(self, idx: int) -> List[int]:
        """The label of a video, for data sets around this one such as mmengine's ``ClassBalancedDataset``."""
        return [int(self.get_data_info(idx)['label'])]

    def name_classes(self) -> None:
        """Finds out the names of the classes, without a look at the list."""
        if 'classes' not in self._metainfo:
            names = names_or_warning(names_beside, self.ann_file, self.num_classes)
            if names:
                self._metainfo['classes'] = tuple(names)
