"""Moving digits in memory: the clips of the generator, files read alike, and bad input."""

from pathlib import Path

import numpy as np
import pytest
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from kaizen_mm.data.moving_digits import CLASSES, MovingDigits

CONFIG = Path(__file__).resolve().parents[3] / 'configs/bagnet3d_moving_camera.py'
SMALL = dict(num_train=9, num_val=5, num_frames=6, size=32, camera=1.0, clutter=1.0)


def build(**options):
    return DATASETS.build(dict(type='MovingDigitsInMemory', **{**SMALL, **options}))


@pytest.mark.parametrize('options', [dict(split='train'), dict(split='val', seed=1), dict(split='val', max_clips=3)])
def test_clips_are_those_of_the_generator(options):
    dataset, digits = build(**options), MovingDigits(seed=options.get('seed', 0), **SMALL)
    split = options['split']
    assert len(dataset) == options.get('max_clips', 9 if split == 'train' else 5)
    assert dataset.metainfo['classes'] == CLASSES
    for index in range(len(dataset)):
        frames, label = digits.render(split, index)
        sample = dataset[index]
        assert sample['inputs'].shape == (1, 1, 6, 32, 32) and int(sample['data_samples'].gt_label) == label
        np.testing.assert_array_equal(sample['inputs'][0, 0].numpy(), frames[..., 0])


def test_another_seed_gives_other_clips():
    assert (build(split='val').clips != build(split='val', seed=1).clips).float().mean() > 0.5


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(split='test'), r"split must be one of \('train', 'val'\), got 'test'"),
        (dict(split='train', max_clips=10), 'max_clips must be an int from 1 to 9, got 10'),
        (dict(split='train', size=31), 'size=31 is not valid; expected an integer of at least 32'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_files_are_read_as_what_is_in_memory(tmp_path):
    """Of a video that the generator has written, the config's pipeline gives the gray clip but for the coding."""
    cfg = Config.fromfile(CONFIG)
    parameters = {**{key: value for key, value in cfg.digits.items() if key != 'type'}, 'num_train': 2, 'num_val': 2}
    MovingDigits(**parameters).write(tmp_path, progress=False)
    expected = build(split='val', **parameters)[1]['inputs']
    with DefaultScope.overwrite_default_scope('mmaction'):
        pipeline = Compose(cfg.test_pipeline)
    read = pipeline(dict(filename=str(tmp_path / 'videos/val_00001.mp4'), label=0, start_index=0, modality='RGB'))
    assert read['inputs'].shape == expected.shape == (1, 1, 16, 32, 32)
    assert (read['inputs'].float() - expected.float()).abs().mean() < 4
