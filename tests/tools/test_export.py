"""tools/export.py, for configs and for timm's names."""

import re

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import kaizen_mm  # noqa: F401  timm's names
from kaizen_mm.commands.export import main
from tests.openmmlab.trained import image_config, save, stock_video_config, video_config

TIMM = ['--timm', 'kaizen_mfnet2d_n9', '--model-kwargs', 'num_classes=5', 'img_size=32', 'pool_kernel=1']


@pytest.fixture
def export(capsys):
    """Runs the tool; gives its exit status and what it prints and complains of."""

    def command(*words):
        try:
            status = main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return command


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    torch.manual_seed(0)
    net = timm.create_model('kaizen_mfnet2d_n9', num_classes=5, img_size=32, pool_kernel=1)
    path = tmp_path_factory.mktemp('weights') / 'net.pth'
    torch.save(net.state_dict(), path)
    return path


@pytest.mark.slow
def test_a_name_of_timm_to_both_formats(export, weights, tmp_path):
    pytest.importorskip('onnxruntime')
    status, text, errors = export(*TIMM, '--checkpoint', weights, '--out', tmp_path / 'net.pt2', tmp_path / 'net.onnx')
    assert status == 0, errors
    assert text.count('input x [batch, 3, 32, 32], normalized; differs from the network by') == 2
    net = timm.create_model('kaizen_mfnet2d_n9', num_classes=5, img_size=32, pool_kernel=1).eval()
    net.load_state_dict(torch.load(weights))
    x = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(torch.export.load(tmp_path / 'net.pt2').module()(x), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    'build, shape', [(image_config, (3, 64, 64)), (video_config, (3, 16, 32, 32)), (stock_video_config, (3, 8, 32, 32))]
)
def test_configs(build, shape, export, tmp_path):
    from kaizen_mm.openmmlab.inference import ConfigPredictor

    cfg = build()
    cfg.dump(str(tmp_path / 'config.py'))
    save(cfg, tmp_path / 'net.pth')
    status, text, errors = export(
        '--config',
        tmp_path / 'config.py',
        '--checkpoint',
        tmp_path / 'net.pth',
        '--out',
        tmp_path / 'net.pt2',
        '--all-iterates',
    )
    assert status == 0 and f'[batch, {", ".join(map(str, shape))}]' in text, errors
    network = ConfigPredictor(cfg, str(tmp_path / 'net.pth')).network
    program, x = torch.export.load(tmp_path / 'net.pt2').module(), torch.randn(2, *shape)
    with torch.no_grad():
        video = hasattr(network, 'cls_head')
        wanted = (
            network.cls_head.iterate_scores(network.backbone(x))
            if video
            else network.head.iterate_scores(network.extract_feat(x))
        )
        torch.testing.assert_close(list(program(x)), list(wanted), rtol=1e-5, atol=1e-5)


def picture(path, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(path)
    return path


def test_a_network_adapted_to_a_picture_or_to_saved_weights(export, weights, tmp_path):
    from kaizen_mm.inference.timm_networks import TimmPredictor

    image = picture(tmp_path / 'image.png')
    predictor = TimmPredictor('kaizen_mfnet2d_n9', weights, num_classes=5, img_size=32, pool_kernel=1)
    net, x = predictor.network, predictor._image(image)
    with torch.no_grad():
        w = net.written_weights(x)
        w.save(tmp_path / 'w.safetensors')
        other = torch.randn(2, 3, 32, 32)
        expected = net(other, fast_weights=w.expand(2))
    for source in (image, tmp_path / 'w.safetensors'):
        status, _, errors = export(*TIMM, '--checkpoint', weights, '--out', tmp_path / 'net.pt2', '--adapt-to', source)
        assert status == 0, errors
        program = torch.export.load(tmp_path / 'net.pt2')
        torch.testing.assert_close(program.module()(other), expected, rtol=1e-4, atol=1e-5)
        assert not any('adapter' in name or 'iterates' in name for name in program.state_dict)


@pytest.mark.slow
def test_a_recognizer_adapted_to_all_clips_of_a_video(export, tmp_path):
    from kaizen_mm.layers import specialized, written_weights
    from kaizen_mm.openmmlab.inference import ConfigPredictor
    from tests.data.clips import make_video

    cfg = video_config()
    cfg.dump(str(tmp_path / 'config.py'))
    save(cfg, tmp_path / 'net.pth')
    make_video(tmp_path / 'clip.mp4', frames=40)
    words = ['--config', tmp_path / 'config.py', '--checkpoint', tmp_path / 'net.pth', '--out', tmp_path / 'net.pt2']
    status, _, errors = export(*words, '--adapt-to', tmp_path / 'clip.mp4')
    assert status == 0, errors
    predictor = ConfigPredictor(cfg, str(tmp_path / 'net.pth'))
    seen = []
    predictor.network.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    assert predictor(tmp_path / 'clip.mp4')[0].error is None
    with torch.no_grad():
        w = written_weights(predictor.network.backbone, torch.cat(seen))
        plain = specialized(predictor.network.backbone, w.mean())
        x = torch.randn(2, 3, 16, 32, 32)
        wanted = predictor.network.cls_head.wrapped(plain(x))
        torch.testing.assert_close(torch.export.load(tmp_path / 'net.pt2').module()(x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'words, message',
    [
        (['--out', 'net.pt2', '--adapt-to', 'none.png'], 'error: .*none.png'),
        (['--out', 'net.pt2', '--adapt-to', 'none.safetensors'], 'error: .*No such file.*none.safetensors'),
        (['--out', 'net.pt2', '--adapt-to', 'broken.png'], 'error: --adapt-to broken.png: '),
        (['--out', 'net.pt2', '--adapt-to', 'broken.safetensors'], 'error: broken.safetensors is no safetensors file'),
        (
            ['--out', 'net.pt2', '--adapt-to', 'image.png', '--all-iterates'],
            'error: --all-iterates must be left out with --adapt-to: a plain network has no iterates',
        ),
    ],
)
def test_what_a_network_cannot_be_adapted_to(words, message, export, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture('image.png')
    for name in ('broken.png', 'broken.safetensors'):
        (tmp_path / name).write_bytes(b'this is text')
    status, _, errors = export(*TIMM, '--checkpoint', weights, *words)
    assert status == 2 and re.search(message, errors), errors
    assert not (tmp_path / 'net.pt2').exists()


def test_a_network_of_one_iteration_cannot_be_adapted(export, tmp_path):
    torch.manual_seed(0)
    net = timm.create_model('mfnet2d_n9', num_classes=5)
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    words = ['--timm', 'mfnet2d_n9', '--model-kwargs', 'num_classes=5', '--checkpoint', tmp_path / 'net.pth']
    status, _, errors = export(*words, '--out', tmp_path / 'net.pt2', '--adapt-to', picture(tmp_path / 'image.png'))
    assert status == 2 and 'MFNet has no recurrent block, so that no weights are written' in errors


@pytest.mark.parametrize(
    'words, message',
    [
        (['--out', 'net.pth'], 'error: --out must end in .pt2 or .onnx, got net.pth'),
        (['--out', 'none/net.pt2'], 'error: no folder none to write net.pt2 to'),
        (['--out', 'net.pt2', '--checkpoint', 'none.pth'], 'error: no weights file none.pth'),
        (
            ['--out', 'net.pt2', '--model-kwargs', 'num_classes=7', 'img_size=32', 'pool_kernel=1'],
            'error: weights .* another network',
        ),
        (
            ['--out', 'net.pt2', '--model-kwargs', 'num_classes=5', 'img_size=32', 'pool_kernel=1', 'num_iterations=2'],
            'error: weights .* 3 iterations, but the network has num_iterations=2',
        ),
        (
            ['--out', 'net.pt2', '--input-size', '3', '96', '96'],
            r'error: the feedback map has shape \(192, 3, 3\) .* build the network for the input size',
        ),
    ],
)
def test_what_cannot_be_exported(words, message, export, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, text, errors = export(*TIMM, '--checkpoint', weights, *words)
    assert status == 2 and not text
    assert len(errors.splitlines()) == 1
    assert re.match(message, errors), errors
    assert not list(tmp_path.iterdir())
