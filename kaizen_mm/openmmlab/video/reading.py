"""Opening videos: by path, and with a reader of choice."""

import functools
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
        return open_video(filename, self.reader, self.num_threads)


def read_by_path() -> None:
    """Lets mmaction2's ``DecordInit`` open files on a local disk by their path.

    mmaction2 1.2.0 hands decord the bytes of the file. With decord 0.6.0 a truncated ``.avi`` then ends the process
    with a segmentation fault (https://github.com/dmlc/decord/issues/25), and a pipe is waited for without end.
    """
    if hasattr(DecordInit._get_video_reader, '__wrapped__'):
        return
    of_bytes = DecordInit._get_video_reader

    @functools.wraps(of_bytes)
    def of_path(self, filename: str):
        if self.io_backend != 'disk':
            return of_bytes(self, filename)
        # mmaction2 takes a name without an ending for one of an .mp4
        path = filename if osp.splitext(filename)[1] or osp.exists(filename) else f'{filename}.mp4'
        return open_video(path, num_threads=self.num_threads)

    DecordInit._get_video_reader = of_path


read_by_path()
