"""Test clips: at random positions that do not change from run to run, and with each frame decoded once; gray frames."""

from typing import Optional, Sequence

import numpy as np
from mmaction.datasets.transforms import SampleFrames, TenCrop, ThreeCrop
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

from kaizen_mm.arguments import check_choice, check_int

POSITIONS = ('random', 'even')
MULTI_CROPS = (ThreeCrop, TenCrop)


@TRANSFORMS.register_module()
class SampleTestClips(SampleFrames):
    """Test clips of a video, drawn at random positions with a fixed seed.

    The positions of a video depend on ``seed`` and its index in the list alone: not on the
    number of workers, processes or the order of videos. A video shorter than a clip is looped.

    Args:
        clip_len: Frames of a clip.
        frame_interval: Frames from one frame of a clip to the next. Default 1.
        num_clips: Clips per video. Default 10 (arXiv:1910.11105, section 4.2).
        positions: ``'random'`` (default), or ``'even'`` for evenly spaced ones.
        seed: Of the random positions. Default 0.
    """

    def __init__(
        self, clip_len: int, frame_interval: int = 1, num_clips: int = 10, positions: str = 'random', seed: int = 0
    ):
        for name, value in (('clip_len', clip_len), ('frame_interval', frame_interval), ('num_clips', num_clips)):
            check_int(name, value)
        check_choice('positions', positions, POSITIONS)
        check_int('seed', seed, 0)
        super().__init__(clip_len, frame_interval, num_clips, test_mode=True)
        self.positions, self.seed = positions, seed
        self._generator = None

    def transform(self, results: dict) -> dict:
        self._generator = np.random.default_rng([self.seed, results.get('sample_idx', 0)])
        return super().transform(results)

    def _get_test_clips(self, num_frames, ori_clip_len):
        if self.positions == 'even':
            return super()._get_test_clips(num_frames, ori_clip_len)
        last = max(num_frames - ori_clip_len, 0)
        return np.sort(self._generator.integers(0, last + 1, size=self.num_clips))


@TRANSFORMS.register_module()
class OneChannel(BaseTransform):
    """Keeps the green channel of frames ``[H, W, 3]``, ``[H, W, 1]``: of gray videos all that there is."""

    def transform(self, results: dict) -> dict:
        results['imgs'] = [frame[..., 1:2] for frame in results['imgs']]
        return results


@TRANSFORMS.register_module()
class OnDistinctFrames(BaseTransform):
    """Transforms the frames of a video once each, in their order, however many of its clips they are in.

    Clips that overlap share frames, and clips in no order have a reader seek back for each of them. What comes out
    is the same to the bit as without it, mmaction2's ``ThreeCrop`` and ``TenCrop`` included, which give all frames of
    the first crop, then all of the next.

    Args:
        transforms: From decoding on; each must treat every frame alike and draw nothing at random.

    Raises:
        ValueError: Another transform changes the number of images; it belongs behind this one. Or frames have been
            decoded before, several times each.
    """

    def __init__(self, transforms: Sequence[dict]):
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> Optional[dict]:
        wanted = results['frame_inds'].ravel()
        results['frame_inds'], places = np.unique(wanted, return_inverse=True)
        frames = count = len(results['frame_inds'])
        given = len(results['imgs']) if 'imgs' in results else frames
        if given != frames:
            raise ValueError(
                f'transforms of OnDistinctFrames must begin with decoding: {given} images of {frames} different frames '
                'are there already'
            )
        for step in self.transforms.transforms:
            results = step(results)
            if results is None:
                return None
            images = len(results['imgs']) if 'imgs' in results else count  # none before decoding
            if images != count and not isinstance(step, MULTI_CROPS):
                raise ValueError(
                    f'transforms of OnDistinctFrames must give one image a frame, except for ThreeCrop and '
                    f'TenCrop; {step!r} makes {images} of {count}: put it behind OnDistinctFrames'
                )
            count = images
        places = np.concatenate([places + first for first in range(0, count, frames)])
        results['imgs'] = [results['imgs'][place] for place in places]
        if np.ndim(results.get('crop_bbox')) == 2:  # one of each image
            results['crop_bbox'] = results['crop_bbox'][places]
        results['frame_inds'] = wanted
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.transforms})'
