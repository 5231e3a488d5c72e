"""The test pipeline of a config for frames that are decoded, such as those of a window of a stream."""

import copy

import numpy as np
from mmengine.dataset import Compose
from PIL import Image

from kaizen_mm.data.video_readers import FrameReader

_CLIPS = ('SampleFrames', 'SampleTestClips')  # whose clips are all the same where there is room for one


class FramePipeline:
    """Takes frames through the steps that a file goes through.

    Args:
        pipeline: Of a :class:`~kaizen_mm.openmmlab.inference.ConfigPredictor`.
        kind: ``'image'`` or ``'video'``.

    Attributes:
        span: Frames from the first to the last of a clip, both counted. Of a network that looks at frames here and
            there (TSN) as many as it looks at.

    Raises:
        ValueError: The pipeline reads files in a way of its own.
    """

    def __init__(self, pipeline: Compose, kind: str):
        self.kind = kind
        if kind == 'image':
            if not any(getattr(step, 'takes_pictures', False) for step in pipeline.transforms):
                raise ValueError(
                    "the config's test pipeline loads images in a way of its own, and cannot be given frames of a "
                    'stream; a LoadImageFromFile without options but color_type can'
                )
            self.span, self._whole = 1, pipeline
            return
        steps = list(pipeline.transforms)
        opening = [number for number, step in enumerate(steps) if hasattr(step, 'reader')]
        sampling = [number for number, step in enumerate(steps) if hasattr(step, 'clip_len')]
        if len(opening) != 1 or len(sampling) != 1 or getattr(steps[sampling[0]], 'target_fps', None):
            named = ', '.join(type(step).__name__ for step in steps)
            raise ValueError(
                "the config's test pipeline cannot be given frames of a stream: it must open videos by VideoInit, or "
                f'DecordInit without options, and sample them once by clip_len, without target_fps; it has {named}'
            )
        sampler = steps[sampling[0]]
        steps[opening[0]] = _open
        self._whole = Compose(steps)
        if sampler.clip_len == 1 or type(sampler).__name__ not in _CLIPS:
            self.span, self._single = sampler.clip_len * sampler.num_clips, self._whole
            return
        self.span = (sampler.clip_len - 1) * sampler.frame_interval + 1
        one = copy.copy(sampler)
        one.num_clips = 1
        self._single = Compose([one if step is sampler else step for step in steps])

    def __call__(self, frames: np.ndarray) -> dict:
        """What the pipeline makes of frames ``[T, H, W, 3]``; one clip where all clips would be the same."""
        if self.kind == 'image':
            return self._whole(dict(img_path=Image.fromarray(frames[0])))
        pipeline = self._whole if len(frames) > self.span else self._single
        return pipeline(dict(frames=frames, label=-1, start_index=0, modality='RGB'))


def _open(results: dict) -> dict:
    """In the place of the step that opens a video."""
    reader = FrameReader(results.pop('frames'))
    results.update(video_reader=reader, total_frames=len(reader), avg_fps=reader.get_avg_fps(), filename='')
    return results
