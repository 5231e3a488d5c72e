"""Positions of test clips, and frames that are decoded once."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import DecordDecode, SampleFrames
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from kaizen_mm.openmmlab.video.transforms import SampleTestClips

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


def clips(frames, sample_idx=0, **kwargs):
    sampler = SampleTestClips(16, frame_interval=2, **kwargs)
    results = sampler.transform(dict(total_frames=frames, start_index=0, sample_idx=sample_idx))
    return results['frame_inds'].reshape(-1, 16)


def test_a_video_s_clips_depend_on_seed_and_index_alone():
    first = clips(300, 5)
    np.random.seed(3)
    clips(100, 4)
    np.testing.assert_array_equal(first, clips(300, 5))
    assert not np.array_equal(first, clips(300, 6))
    assert not np.array_equal(first, clips(300, 5, seed=1))


def test_positions_cover_the_video_uniformly():
    starts = np.concatenate([clips(131, i)[:, 0] for i in range(400)])
    assert starts.min() == 0 and starts.max() == 100  # the last clip ends on the last frame
    assert abs(starts.mean() - 50) < 4 * 29.2 / np.sqrt(len(starts))


def test_ten_clips_of_consecutive_frames():
    sampled = clips(200)
    assert sampled.shape == (10, 16)
    assert (np.diff(sampled, axis=1) == 2).all()


def test_even_positions_are_those_of_mmaction2():
    stock = SampleFrames(16, 2, 10, test_mode=True).transform(dict(total_frames=200, start_index=0))
    np.testing.assert_array_equal(clips(200, positions='even').ravel(), stock['frame_inds'])


@pytest.mark.parametrize('frames', [1, 7, 16, 31])
def test_a_short_video_is_looped(frames):
    np.testing.assert_array_equal(clips(frames), np.tile(np.arange(0, 32, 2) % frames, (10, 1)))


@pytest.mark.parametrize('argument', ['clip_len', 'frame_interval', 'num_clips'])
def test_bad_numbers(argument):
    with pytest.raises(ValueError, match=f'{argument} must be an int >= 1, got 0'):
        SampleTestClips(**{'clip_len': 16, argument: 0})


def test_bad_positions():
    with pytest.raises(ValueError, match="positions must be one of .* got 'dense'"):
        SampleTestClips(16, positions='dense')


@pytest.mark.parametrize(
    'name',
    [
        'kaizen_mfnet_list.py',
        'kaizen_mfnet_ucf101.py',
        'kaizen_mfnet_digits.py',
        'kaizen_tsn_r18_list.py',
        'kaizen_slowonly_r18_list.py',
        'kaizen_slowonly_r50_list.py',
    ],
)
def test_frames_that_clips_share_are_decoded_once_and_nothing_else_changes(name, digits):
    init_default_scope('mmaction')
    cfg = Config.fromfile(CONFIGS / name)
    steps = cfg.test_dataloader.dataset.pipeline
    shared = [step for step in steps if step.type == 'OnDistinctFrames']
    assert len(shared) == 1
    plainly = [inner for step in steps for inner in (step.transforms if step.type == 'OnDistinctFrames' else [step])]
    video = dict(
        filename=str(next((digits / 'videos').glob('val_*'))), label=0, start_index=0, modality='RGB', sample_idx=3
    )
    decoded = []
    with mock.patch.object(
        DecordDecode,
        '_decord_load_frames',
        autospec=True,
        side_effect=lambda self, reader, frames: decoded.append(frames) or list(reader.get_batch(frames).asnumpy()),
    ):
        once, again = (Compose(pipeline)(dict(video)) for pipeline in (steps, plainly))
    side = next((step.crop_size for step in plainly if 'crop_size' in step), 32)
    assert once['inputs'].shape[-2:] == (side, side)
    assert torch.equal(once['inputs'], again['inputs']) and len(once['inputs']) > 1
    assert list(decoded[0]) == sorted(set(decoded[1])) and len(decoded[0]) < len(decoded[1])


SHARED = [dict(type='DecordDecode'), dict(type='Resize', scale=(-1, 28))]


def treated(video, inner, wrapped):
    """Ten clips of a video whose frames go through ``inner``."""
    init_default_scope('mmaction')
    middle = [dict(type='OnDistinctFrames', transforms=inner)] if wrapped else inner
    steps = [
        dict(type='DecordInit'),
        dict(type='SampleTestClips', clip_len=4, frame_interval=2),
        *middle,
        dict(type='FormatShape', input_format='NCTHW'),
    ]
    return Compose(steps)(dict(filename=str(video), label=0, start_index=0, modality='RGB', sample_idx=3))


@pytest.mark.parametrize('crops, views', [('ThreeCrop', 30), ('TenCrop', 100)])
def test_all_crops_of_all_clips_come_through(crops, views, digits):
    video = next((digits / 'videos').glob('val_*'))
    inner = [*SHARED, dict(type=crops, crop_size=28 if crops == 'ThreeCrop' else 20)]
    ours, stock = (treated(video, inner, wrapped) for wrapped in (True, False))
    assert ours['imgs'].shape == stock['imgs'].shape and len(ours['imgs']) == views
    np.testing.assert_array_equal(ours['imgs'], stock['imgs'])
    np.testing.assert_array_equal(ours['crop_bbox'], stock['crop_bbox'])


@pytest.mark.parametrize(
    'keep, number', [(lambda images: images[::2], '[0-9]+'), (lambda images: images * 3, '[0-9]+'), (lambda _: [], '0')]
)
def test_another_transform_that_changes_the_number_of_images_is_refused(keep, number, digits):
    class Resampled:
        def __call__(self, results):
            return {**results, 'imgs': keep(results['imgs'])}

        def __repr__(self):
            return 'Resampled()'

    video = next((digits / 'videos').glob('val_*'))
    message = rf'one image a frame.* Resampled\(\) makes {number} of .*: put it behind'
    with mock.patch.dict(TRANSFORMS._module_dict, {'Resampled': Resampled}), pytest.raises(ValueError, match=message):
        treated(video, [*SHARED, dict(type='Resampled')], wrapped=True)


def test_frames_that_are_decoded_before_are_refused_where_a_clip_shares_them(digits):
    video = next((digits / 'videos').glob('val_*'))
    init_default_scope('mmaction')
    steps = [
        dict(type='DecordInit'),
        dict(type='SampleTestClips', clip_len=4, frame_interval=2),
        dict(type='DecordDecode'),
        dict(type='OnDistinctFrames', transforms=[dict(type='TenCrop', crop_size=20)]),
    ]
    with pytest.raises(ValueError, match='must begin with decoding: 40 images of [0-9]+ different frames'):
        Compose(steps)(dict(filename=str(video), label=0, start_index=0, modality='RGB', sample_idx=3))
