"""Predictions of files by timm's names."""

import argparse

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.data.moving_digits import write_video
from kaizen_mm.data.video_readers import open_video
from kaizen_mm.inference.timm_networks import TimmPredictor
from tests.checkpoint_samples import flip
from tests.data.clips import make_video

SMALL = dict(widths=(8, 8, 8, 16), units=(1, 1, 1, 1), groups=2, num_classes=3, alpha=1.0)
IMAGES = dict(SMALL, img_size=64, pool_padding=1)
VIDEOS = dict(SMALL, input_size=(8, 32, 48), pool_padding=(2, 1, 1))


def weights(path, name, **kwargs):
    torch.manual_seed(0)
    network = timm.create_model(name, **kwargs).eval()
    torch.save(network.state_dict(), path)
    return network


def test_an_image_as_in_timms_validation(tmp_path):
    network = weights(tmp_path / 'net.pth', 'kaizen_mfnet2d_n9', **IMAGES)
    pixels = np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    (tmp_path / 'names.txt').write_text('a\nb\nc\n')
    predictor = TimmPredictor('kaizen_mfnet2d_n9', tmp_path / 'net.pth', tmp_path / 'names.txt', **IMAGES)
    assert (predictor.kind, predictor.num_iterations, predictor.names) == ('image', 3, ['a', 'b', 'c'])
    (prediction,) = predictor(tmp_path / 'photo.png')
    transform = timm.data.create_transform((3, 64, 64), interpolation='bicubic', crop_pct=0.875)
    with torch.no_grad():
        expected = torch.stack(network.forward_iterates(transform(Image.fromarray(pixels))[None])).softmax(dim=2)[:, 0]
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
    assert not torch.allclose(expected[0], expected[2], atol=1e-4)


def test_an_image_means_the_same_whatever_it_is_stored_in(tmp_path):
    """8, 16 and 32 bits, lying on its side, and read by OpenMMLab's way in."""
    weights(tmp_path / 'net.pth', 'kaizen_mfnet2d_n9', **IMAGES)
    gray = np.random.default_rng(0).integers(0, 256, (80, 100), dtype=np.uint8)
    lying = Image.Exif()
    lying[274] = 6
    folder = tmp_path / 'photos'
    folder.mkdir()
    Image.fromarray(gray).save(folder / 'a.png')
    Image.fromarray(gray.astype(np.uint16) * 257).save(folder / 'b.png')
    Image.fromarray(gray.astype(np.int32) * 257).save(folder / 'c.tif')
    Image.fromarray((gray / 255).astype(np.float32)).save(folder / 'd.tiff')
    Image.fromarray(np.ascontiguousarray(np.rot90(gray))).save(folder / 'e.png', exif=lying)
    first, *others = TimmPredictor('kaizen_mfnet2d_n9', tmp_path / 'net.pth', **IMAGES)(folder)
    assert len(others) == 4 and first.error is None
    for other in others:
        np.testing.assert_array_equal(other.probabilities, first.probabilities, str(other.file))


def test_a_video_in_clips(tmp_path):
    network = weights(tmp_path / 'net.pth', 'kaizen_mfnet3d_n9', **VIDEOS)
    levels = np.arange(0, 200, 10, dtype=np.uint8)  # a gray frame of each
    write_video(tmp_path / 'clip.mp4', np.broadcast_to(levels[:, None, None, None], (20, 64, 64, 3)).copy(), 25)
    predictor = TimmPredictor('kaizen_mfnet3d_n9', tmp_path / 'net.pth', num_clips=3, **VIDEOS)
    (prediction,) = predictor(tmp_path / 'clip.mp4')
    assert prediction.clips.shape == (3, 3, 3) and prediction.names == ['0', '1', '2']
    # clips of 8 frames, every second one: they span 15 frames and start at 0, 2.5 and 5
    clips = predictor._clips(open_video(tmp_path / 'clip.mp4'), 3)
    assert clips.shape == (3, 3, 8, 32, 48)
    mean, std = (torch.tensor(value).view(3, 1, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    gray = 255 * (clips[2] * std + mean)
    assert torch.allclose(gray[:, :, 0, 0], torch.arange(50.0, 200, 20).expand(3, 8), atol=4)
    with torch.no_grad():
        expected = torch.stack(network.forward_iterates(clips)).softmax(dim=2)
    np.testing.assert_allclose(prediction.clips, expected, atol=1e-5)


def test_a_video_that_decord_does_not_read_is_read_by_pyav(tmp_path):
    weights(tmp_path / 'net.pth', 'kaizen_mfnet3d_n9', **VIDEOS)
    predictor = TimmPredictor('kaizen_mfnet3d_n9', tmp_path / 'net.pth', num_clips=2, **VIDEOS)
    path = make_video(tmp_path / 'a.mpg', 'mpeg2video', size=(64, 64))
    with pytest.raises(ValueError, match='MPEG program streams'):
        open_video(path)
    (prediction,) = predictor(path)
    assert prediction.error is None and prediction.probabilities.shape == (3, 3)
    predictor.readers = ('decord',)
    assert 'MPEG program streams' in predictor(path)[0].error


def test_a_short_video_is_looped(tmp_path):
    weights(tmp_path / 'net.pth', 'mfnet3d_n9', **{k: v for k, v in VIDEOS.items() if k in SMALL and k != 'alpha'})
    write_video(tmp_path / 'clip.mp4', np.zeros((3, 64, 64, 3), np.uint8), 25)
    (prediction,) = TimmPredictor(
        'mfnet3d_n9', tmp_path / 'net.pth', **{k: v for k, v in SMALL.items() if k != 'alpha'}, input_size=(8, 32, 32)
    )(tmp_path / 'clip.mp4')
    assert prediction.probabilities.shape == (1, 3)


def test_a_network_of_timms_own(tmp_path):
    weights(tmp_path / 'net.pth', 'test_resnet', num_classes=5)
    Image.new('RGB', (50, 40)).save(tmp_path / 'photo.png')
    predictor = TimmPredictor('test_resnet', tmp_path / 'net.pth', num_classes=5)
    (prediction,) = predictor(tmp_path / 'photo.png')
    assert prediction.probabilities.shape == (1, 5) and predictor.num_iterations == 1


def test_the_names_that_a_checkpoint_tells_are_shown_and_those_of_a_file_compared_with_them(tmp_path):
    weights(tmp_path / 'bare.pth', 'test_resnet', num_classes=3)
    state_dict = torch.load(tmp_path / 'bare.pth')
    meta = dict(dataset_meta=dict(classes=('ant', 'bee', 'cat')))
    torch.save(dict(state_dict=state_dict, meta=meta), tmp_path / 'ours.pth')
    torch.save(dict(state_dict=state_dict, args=argparse.Namespace(lr=0.1)), tmp_path / 'timms.pth')
    Image.new('RGB', (50, 40)).save(tmp_path / 'photo.png')
    names = {}
    for file in ('bare', 'ours', 'timms'):
        predictor = TimmPredictor('test_resnet', tmp_path / f'{file}.pth', num_classes=3)
        (prediction,) = predictor(tmp_path / 'photo.png')
        names[file] = list(prediction.names)
    assert names == dict(bare=['0', '1', '2'], ours=['ant', 'bee', 'cat'], timms=['0', '1', '2'])
    (tmp_path / 'labels.txt').write_text('ant\ncat\nbee\n')
    with pytest.raises(ValueError, match="labels.txt.*1 'bee'|1 'bee'.*labels.txt"):
        TimmPredictor('test_resnet', tmp_path / 'ours.pth', labels=tmp_path / 'labels.txt', num_classes=3)


def test_what_does_not_fit(tmp_path):
    weights(tmp_path / 'net.pth', 'kaizen_mfnet2d_n9', **IMAGES)
    with pytest.raises(ValueError, match='net.pth was trained with 3 iterations, .* num_iterations=2'):
        TimmPredictor('kaizen_mfnet2d_n9', tmp_path / 'net.pth', num_iterations=2, **IMAGES)
    with pytest.raises(ValueError, match='net.pth is of another network'):
        TimmPredictor('kaizen_mfnet2d_n9', tmp_path / 'net.pth', **dict(IMAGES, num_classes=4))
    with pytest.raises(FileNotFoundError, match='no weights file .*none.pth'):
        TimmPredictor('kaizen_mfnet2d_n9', tmp_path / 'none.pth', **IMAGES)
    with pytest.raises(ValueError, match='num_clips must be an int >= 1, got 0'):
        TimmPredictor('kaizen_mfnet2d_n9', tmp_path / 'net.pth', num_clips=0, **IMAGES)
    values = torch.load(tmp_path / 'net.pth')['classifier.weight'].numpy().tobytes()
    flip(tmp_path / 'net.pth', (tmp_path / 'net.pth').read_bytes().index(values))
    with pytest.raises(ValueError, match='net.pth is damaged'):
        TimmPredictor('kaizen_mfnet2d_n9', tmp_path / 'net.pth', **IMAGES)
