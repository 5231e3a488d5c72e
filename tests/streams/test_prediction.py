"""A window of a stream gives what ``predict`` gives for a file that holds just that window."""

import copy

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import kaizen_mm  # noqa: F401  registers timm's names
from kaizen_mm.data.moving_digits import MovingDigits, write_video
from kaizen_mm.data.video_readers import open_video
from kaizen_mm.inference.timm_networks import TimmPredictor
from kaizen_mm.layers.writing_block import holding, writing
from kaizen_mm.openmmlab.inference import ConfigPredictor
from kaizen_mm.streams import FrameSource, StreamPredictor
from tests.data.clips import part
from tests.openmmlab.test_any_network import tiny
from tests.openmmlab.trained import VIDEO_STEPS, image_config, save, stock_video_config, video_config

FRAMES = 50


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """Two scenes, each frame coded alone."""
    data = MovingDigits(num_train=1, num_val=2, num_frames=FRAMES // 2, size=32, camera=1.0, speed=(0.5, 1))
    path = tmp_path_factory.mktemp('clip') / 'clip.mp4'
    write_video(path, np.concatenate([data.render('val', index)[0] for index in (0, 1)]), 25)
    return path


def of_config(cfg, folder):
    return ConfigPredictor(cfg, save(cfg, folder / 'a.pth'), device='cpu')


def of_timm(name, folder, **model):
    torch.manual_seed(0)
    torch.save(timm.create_model(name, **model).state_dict(), folder / 'a.pth')
    return TimmPredictor(name, folder / 'a.pth', device='cpu', **model)


def crops(folder):
    """SlowOnly, whose test takes three crops of four clips."""
    cfg = stock_video_config()
    steps = [dict(step) for step in VIDEO_STEPS]
    steps[1].update(num_clips=4)
    steps[3:3] = [dict(type='Resize', scale=(48, 32), keep_ratio=False), dict(type='ThreeCrop', crop_size=32)]
    cfg.test_dataloader.dataset.pipeline = steps
    return of_config(cfg, folder)


def single_frames(folder):
    """TSN, which looks at frames here and there."""
    cfg = tiny('tsn_r50')
    steps = [dict(step) for step in VIDEO_STEPS]
    steps[1:2] = [dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=3, test_mode=True)]
    steps[-2] = dict(type='FormatShape', input_format='NCHW')
    cfg.test_dataloader.dataset.pipeline = steps
    return of_config(cfg, folder)


def plain(folder):
    cfg = video_config()
    cfg.model.backbone.num_iterations = 1
    return of_config(cfg, folder)


CLIPS = dict(num_iterations=3, num_classes=5, input_size=(16, 32, 32), pool_padding=1)
NETWORKS = {
    'a config': lambda folder: of_config(video_config(), folder),
    'a plain network': plain,
    'crops': crops,
    'single frames': single_frames,
    'timm': lambda folder: of_timm('kaizen_mfnet3d_n9', folder, **CLIPS),
}


@pytest.fixture(params=NETWORKS)
def predictor(request, tmp_path):
    return NETWORKS[request.param](tmp_path)


def windows_of(predictor, source, **options):
    return list(StreamPredictor(predictor, **options)(FrameSource(source, say=pytest.fail)))


@pytest.mark.parametrize('longer', [0, 9], ids=['as long as a clip', 'longer than a clip'])
def test_a_window_is_a_file_of_just_its_frames(predictor, clip, tmp_path, longer):
    length = predictor.span + longer
    assert length > longer
    found = windows_of(predictor, clip, length=length, stride=11, write=1)
    assert [window.start for window in found[:-1]] == list(range(0, FRAMES - length + 1, 11))[: len(found) - 1]
    for window in found:
        file = part(clip, tmp_path / f'{window.start}.mp4', window.start, window.end)
        (prediction,) = predictor(file)
        assert prediction.error is None, prediction.error
        np.testing.assert_allclose(window.probabilities, prediction.probabilities[-1], atol=2e-6)
        assert window.top(2)[0].label == prediction.top(1)[-1][0].label
        assert window.passes == predictor.num_iterations and window.wrote == (predictor.num_iterations > 1)
    assert len({round(float(window.probabilities[0]), 7) for window in found}) > 1, 'windows differ'


@pytest.mark.parametrize('predictor', [name for name in NETWORKS if name != 'a plain network'], indirect=True)
def test_weights_are_held_as_by_hand(predictor, clip, tmp_path):
    """Written in the first window and in the third, in files of single windows."""
    found = windows_of(predictor, clip, length=predictor.span, stride=7, write=2)[:4]
    for number, window in enumerate(found):
        frames = open_video(part(clip, tmp_path / f'{number}.mp4', window.start, window.end)).get_batch(
            range(window.end - window.start)
        )
        if number % 2 == 0:
            with writing(predictor.network) as written:
                expected = predictor.of_frames(frames.asnumpy())
            assert expected.shape[0] == predictor.num_iterations
        else:
            with holding(predictor.network, written.weights):
                expected = predictor.of_frames(frames.asnumpy())
            assert expected.shape[0] == 1 and window.passes == 1
        np.testing.assert_allclose(window.probabilities, expected[-1], atol=1e-7)
    assert [window.wrote for window in found] == [True, False, True, False][: len(found)]


def test_a_cut_lets_weights_be_written_and_begins_the_mean(clip, tmp_path):
    predictor = of_config(video_config(), tmp_path)
    each = windows_of(predictor, clip, length=8, stride=5)
    mean = windows_of(predictor, clip, length=8, stride=5, smoothing='mean')
    (place,) = [number for number, window in enumerate(each) if window.cut is not None]
    assert each[place].cut == FRAMES // 2
    # windows from 20 and 25: the first has both scenes, the second the new one alone
    assert [window.start for window in each if window.wrote] == [0, 20, 25]
    for number, window in enumerate(mean):
        since = each[place if number >= place else 0 : number + 1]
        np.testing.assert_allclose(window.probabilities, np.mean([w.probabilities for w in since], axis=0), atol=1e-7)


def test_a_folder_of_the_same_frames(clip, tmp_path):
    predictor = of_config(video_config(), tmp_path)
    (tmp_path / 'frames').mkdir()
    for number, frame in enumerate(open_video(clip).get_batch(range(FRAMES)).asnumpy()):
        Image.fromarray(frame).save(tmp_path / 'frames' / f'{number}.png')
    for one, other in zip(windows_of(predictor, clip), windows_of(predictor, tmp_path / 'frames'), strict=True):
        assert (one.start, one.end, one.cut, one.wrote) == (other.start, other.end, other.cut, other.wrote)
        assert one.time == pytest.approx(other.time, abs=1e-4)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize('kind', ['config', 'timm'])
def test_images_are_windows_of_one_frame(kind, clip, tmp_path):
    if kind == 'config':
        predictor = of_config(image_config(), tmp_path)
    else:
        predictor = of_timm('kaizen_mfnet2d_n9', tmp_path, num_classes=4, img_size=32, pool_padding=1, num_iterations=2)
    found = windows_of(predictor, clip, stride=10, write=1)
    assert [(window.start, window.end) for window in found] == [
        (0, 1),
        (10, 11),
        (20, 21),
        (30, 31),
        (40, 41),
        (49, 50),
    ]
    frames = open_video(clip).get_batch(range(FRAMES)).asnumpy()
    for window in found[::2]:
        Image.fromarray(frames[window.start]).save(tmp_path / 'a.png')
        (prediction,) = predictor(tmp_path / 'a.png')
        np.testing.assert_array_equal(window.probabilities, prediction.probabilities[-1])
    with pytest.raises(
        ValueError, match='length, the frames of a window, must be 1, as the network takes images, got 2'
    ):
        StreamPredictor(predictor, length=2)
    with pytest.raises(ValueError, match='frames must be one frame, as the network takes images, got 3'):
        predictor.of_frames(frames[:3])


def test_each_frame_is_seen_once_and_a_window_is_given_before_the_next_is_read(tmp_path):
    predictor = plain(tmp_path)
    seen, frames = [], np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    stream = StreamPredictor(predictor, length=8, stride=4)(frames, lambda frame: seen.append(frame.index))
    for window in stream:
        assert seen == list(range(window.end))
    assert len(seen) == 40


def test_it_can_be_used_again(clip, tmp_path):
    """A second stream knows nothing of the first."""
    stream = StreamPredictor(of_config(video_config(), tmp_path), smoothing='mean', write='never')
    first, second = (list(stream(FrameSource(clip))) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert one.wrote == other.wrote


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(length=0), 'length must be an int >= 1, got 0'),
        (dict(stride=0), 'stride must be an int >= 1, got 0'),
        (dict(write=0), 'write must be an int >= 1, got 0'),
        (dict(write='cut'), "write must be 'never', 'cuts' or a number of windows, an int >= 1, got 'cut'"),
        (dict(smoothing='median'), 'smoothing must be one of'),
    ],
)
def test_arguments_that_cannot_be_used(tmp_path, options, message):
    predictor = of_timm('mfnet3d_n9', tmp_path, num_classes=5, input_size=(16, 32, 32))
    with pytest.raises(ValueError, match=message):
        StreamPredictor(predictor, **options)
    with pytest.raises(ValueError, match=r'frames must be uint8 \[T, H, W, 3\], got float64 \[3, 4, 4, 3\]'):
        predictor.of_frames(np.zeros((3, 4, 4, 3)))


def test_views_that_are_looked_at_in_several_passes(clip, tmp_path):
    predictor = crops(tmp_path)
    predictor.network.test_cfg = dict(max_testing_views=11)
    message = r'max_testing_views must be at least 12, the views of a window, .* got 11; or take a shorter window'
    with pytest.raises(ValueError, match=message):
        windows_of(predictor, clip, length=20)
    assert len(windows_of(predictor, clip)) == 4, 'three views of a window that is as long as a clip'
    predictor.network.test_cfg = dict(max_testing_views=12)
    assert len(windows_of(predictor, clip, length=20)) == 3


def test_pipelines_that_read_in_a_way_of_their_own(tmp_path):
    cfg = video_config()
    for steps, message in [
        ([dict(VIDEO_STEPS[0], num_threads=1), dict(VIDEO_STEPS[1], target_fps=30)], 'without target_fps'),
        ([dict(type='PyAVInit'), VIDEO_STEPS[1], dict(type='PyAVDecode')], 'it has PyAVInit, SampleFrames'),
        ([VIDEO_STEPS[0]], 'sample them once by clip_len'),
    ]:
        one = copy.deepcopy(cfg)
        one.test_dataloader.dataset.pipeline = one.test_pipeline = steps
        with pytest.raises(ValueError, match=message):
            StreamPredictor(of_config(one, tmp_path))
    cfg = image_config()
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile', imdecode_backend='pillow'),
        dict(type='PackInputs'),
    ]
    with pytest.raises(ValueError, match='loads images in a way of its own'):
        StreamPredictor(of_config(cfg, tmp_path))
