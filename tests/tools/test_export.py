"""tools/export.py, for configs and for timm's names."""

import re

import pytest
import timm
import torch

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
    torch.save(net.state_dict(), tmp_path_factory.mktemp('weights') / 'net.pth')
    return tmp_path_factory.getbasetemp() / 'weights0' / 'net.pth'


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
