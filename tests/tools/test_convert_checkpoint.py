"""The conversion of published checkpoints, and what their use without it says."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kaizen_mm.models import CifarResNet
from kaizen_mm.models.mfnet import mfnet3d_n9
from kaizen_mm.openmmlab.training.hooks import CheckpointCheckHook

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'convert_checkpoint.py'


@pytest.fixture
def convert(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, 'argv', ['convert_checkpoint.py', *words])
        runpy.run_path(str(TOOL), run_name='__main__')

    return run


def released(network) -> dict:
    """As the releases save it."""
    return dict(state_dict={f'module.{name}': value for name, value in network.state_dict().items()}, best_prec1=91.7)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = CifarResNet()


def load(path, network):
    """What a runner does with ``load_from``, as far as the check goes."""
    CheckpointCheckHook().after_load_checkpoint(
        SimpleNamespace(model=network, _load_from=str(path)), torch.load(path, weights_only=True)
    )


def test_the_base_file_is_asked_to_be_converted_and_then_loads(convert, tmp_path, capsys):
    torch.save(released(CifarResNet()), tmp_path / 'resnet20.th')
    with pytest.raises(ValueError) as refused:
        load('resnet20.th', Classifier())
    command = 'python tools/convert_checkpoint.py resnet20_base resnet20.th converted.pth --prefix backbone.'
    assert f'run "{command}" and set load_from=converted.pth' in str(refused.value)
    convert(*command.split()[2:])
    assert 'tensors in converted.pth' in capsys.readouterr().out
    load('converted.pth', Classifier())


def test_mfnet_goes_into_the_backbone(tmp_path):
    torch.save(released(mfnet3d_n9(num_classes=3)), tmp_path / 'mfnet.pth')
    with pytest.raises(
        ValueError,
        match=r'MFNet of the original release: run ".* mfnet .*mfnet.pth converted.pth" and set '
        r"model.backbone.init_cfg=dict\(type='Pretrained'",
    ):
        load(tmp_path / 'mfnet.pth', Classifier())


@pytest.mark.parametrize(
    'content, message',
    [
        (lambda: released(CifarResNet()), 'file.pth: the checkpoint is none of mfnet .* It is one of resnet20_base'),
        (
            lambda: released(nn.Linear(2, 2)),
            "none of mfnet .*'conv1.conv.weight', .* are missing. Its names: .'bias', 'weight'",
        ),
        (lambda: [1, 2], 'file.pth: '),
    ],
)
def test_other_files_are_refused(convert, tmp_path, capsys, content, message):
    import re

    torch.save(content(), tmp_path / 'file.pth')
    with pytest.raises(SystemExit) as stopped:
        convert('mfnet', 'file.pth', 'out.pth')
    assert stopped.value.code == 2 and re.search(message, capsys.readouterr().err)
    assert not (tmp_path / 'out.pth').exists()
