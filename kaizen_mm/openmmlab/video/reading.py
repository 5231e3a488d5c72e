"""Opening videos: by path, and with a reader of choice."""

import os.path as osp

from mmaction.datasets.transforms import DecordInit
from mmaction.registry import TRANSFORMS

from kaizen_mm.data.video_readers import check_reader, open_video


@TRANSFORMS.register_module()
class VideoInit(DecordInit):
    """Opens a video on a local disk, for ``DecordDecode`` to read frames from.

    Args:
        reader: ``'decord'`` (default), ``'pyav'`` or ``'torchcodec'``, see :mod:`kaizen_mm.data.video_readers`.
        num_threads: Threads that decode. Default 1.

    Raises:
        ValueError: There is no such reader; when a video comes up, it is missing, truncated or cannot be opened.
        ImportError: The reader is not installed.
    """

    def __init__(self, reader: str = 'decord', num_threads: int = 1):
        check_reader(reader)
        super().__init__(num_threads=num_threads)
        self.reader = reader

    def _get_video_reader(self, filename: str):
        # mmaction2 takes a name without an ending for one of an .mp4
        path = filename if osp.splitext(filename)[1] or osp.exists(filename) else f'{filename}.mp4'
        return open_video(path, self.reader, self.num_threads)
