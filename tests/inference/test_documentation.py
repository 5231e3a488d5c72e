"""What the pages on predicting and on Grad-CAM show runs."""
import importlib.util
import re
import shlex
import sys

import matplotlib
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from kaizen_mm.models import RecurrentNetwork
from tests.conftest import ROOT
from tests.openmmlab.samples import batch
from tests.openmmlab.trained import image_config, save, video_config


def blocks(page: str, language: str = 'python') -> list:
    return re.findall(rf'```{language}\n(.*?)```', (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.fixture
def files(digits, image_folders, tmp_path):
    """Configs and checkpoints, a clip and a photo, by the names of the page."""
    found = dict(clip=str(digits / 'videos' / 'val_00000.mp4'), photo=str(image_folders / 'val' / 'class_0' / '0.png'))
    for kind, cfg, classes in (('video', video_config(), 8), ('image', image_config(), 4)):
        cfg.dump(tmp_path / f'{kind}.py')
        found[f'{kind}_config'] = str(tmp_path / f'{kind}.py')
        found[f'{kind}_checkpoint'] = save(cfg, tmp_path / f'{kind}.pth', [f'class {i}' for i in range(classes)])
    return found


def test_predicting_in_python(files, digits, tmp_path, capsys):
    own, *stock = blocks('docs/predicting.md')
    for name, there in (('configs/kaizen_mfnet_list.py', files['video_config']), ('clip.mp4', files['clip']),
                        ('work_dirs/kaizen_mfnet_list/epoch_20.pth', files['video_checkpoint']),
                        ("'folder'", f"'{tmp_path / 'nowhere'}'")):
        assert name in own
        own = own.replace(name, there)
    exec(own, {})
    printed = capsys.readouterr().out
    assert len(re.findall(r'val_00000.mp4 \d \[\(.class \d', printed)) == 3 and 'nowhere no such file' in printed
    names = dict(files)
    for code in stock:
        exec(code, names)
    assert names['sample'].iterate_scores.shape == (3, 4)


def test_the_commands_are_ones_that_the_tool_takes(monkeypatch):
    spec = importlib.util.spec_from_file_location('predict', ROOT / 'tools' / 'predict.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    pages = [ROOT / 'README.md', *(ROOT / 'docs').glob('*.md')]
    commands = [line for page in pages for block in blocks(page, 'bash')
                for line in block.replace('\\\n', ' ').splitlines() if 'tools/predict.py' in line]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command, comments=True)
        monkeypatch.setattr(sys, 'argv', words[1:])
        args = tool.parse_args()
        assert args.inputs and (args.timm or args.config.startswith(('configs/', 'work_dirs/demo/')))


def test_grad_cam_of_networks_and_of_recognizers():
    network, recognizer = blocks('docs/grad_cam.md')[:2]
    images = torch.randn(2, 3, 64, 64)
    import timm
    net = RecurrentNetwork(timm.create_model('resnet18', num_classes=4), 'layer4.1', dynamic='conv1', feedback='bn2',
                           example_input=images, pool_kernel=2).eval()
    names = dict(net=net, images=images)
    exec(network, names)
    assert names['maps'].shape == (2, 64, 64)
    init_default_scope('mmaction')
    model = video_config().model
    model.backbone.units = (1, 1, 1, 2)
    names.update(recognizer=MODELS.build(model).eval(), data=batch(1, (16, 32, 32), (1, )))
    exec(recognizer, names)
    assert names['pictures'].shape == (1, 16, 32, 32, 3)


def test_the_example_of_grad_cam(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    matplotlib.use('Agg')
    code = [c for c in blocks('docs/grad_cam.md') if 'load_digits' in c]
    assert len(code) == 1 and 'epochs = 15' in code[0] and 'torch.randperm(1200)' in code[0]
    names = {}
    exec(code[0].replace('epochs = 15', 'epochs = 1').replace('torch.randperm(1200)', 'torch.randperm(200)'), names)
    assert (tmp_path / 'grad_cam.png').exists() and len(names['accuracy']['recurrent']) == 3
