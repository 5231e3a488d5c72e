"""From a checkpoint of timm, torchvision or mmpretrain over its fine-tuning to the recurrent network, in one run."""

from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from safetensors.torch import save_file

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.named_weights import load_timm_weights
from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.foreign_names import rename_for
from tests.conftest import ROOT


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(1)
    return timm.create_model('resnet18', num_classes=7)


def of_mmpretrain(state):
    return {f'head.{name}' if name.startswith('fc.') else f'backbone.{name}': value for name, value in state.items()}


def written(kind, state, folder) -> str:
    """The weights as those who publish them write them."""
    file = folder / ('weights.safetensors' if 'safetensors' in kind else 'weights.pth')
    if kind == 'no classifier':
        state = {name: value for name, value in state.items() if not name.startswith('fc.')}
    if 'safetensors' in kind:
        save_file(state, file)
    else:
        torch.save(dict(state_dict=of_mmpretrain(state), meta={}) if kind == 'mmpretrain' else state, file)
    return str(file)


def config(tmp_path, image_folders, monkeypatch, weights) -> Config:
    """Tiny photos, an epoch in each phase; phase one at rate 0 shows what it starts from."""
    monkeypatch.setenv('KAIZEN_IMAGE_ROOT', str(image_folders))
    monkeypatch.setenv('KAIZEN_IMAGE_CLASSES', '4')
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_resnet18_photos_k2.py')
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=10, num_workers=0)
        loader.dataset.pipeline = steps
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path / 'work'),
            'experiment_name': 'photos',
            'phase_one.load_from': weights,
            'phase_one.train_cfg.max_epochs': 1,
            'train_cfg.max_epochs': 1,
            'phase_one.optim_wrapper.optimizer.lr': 0.0,
        }
    )
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['safetensors', 'pth', 'no classifier', 'mmpretrain'])
def test_phase_one_fine_tunes_and_phase_two_adds_the_recurrence(kind, network, image_folders, tmp_path, monkeypatch):
    state = network.state_dict()
    cfg = config(tmp_path, image_folders, monkeypatch, written(kind, state, tmp_path))
    KaizenRunner.from_cfg(cfg).train()
    one, two = (read_checkpoint(Path(cfg.work_dir, f))['state_dict'] for f in ('phase_one/epoch_1.pth', 'epoch_1.pth'))
    for name, value in state.items():
        if not name.startswith('fc.') and 'running_' not in name and 'num_batches' not in name:
            assert torch.equal(one[f'backbone.{name}'], value), name
    assert one['head.fc.weight'].shape == (4, 512)
    log = next(Path(cfg.work_dir, 'phase_one').glob('*/*.log')).read_text()
    names = 'has the names of a network alone: its weights are those of backbone.*'
    assert (names in log) == (kind != 'mmpretrain')
    assert ('has no classifier: it starts anew' if kind == 'no classifier' else 'is of 7 classes: its') in log
    assert 'tensors of the network (' not in log, 'what was said of the classifier is not said again, as a warning'
    frozen = 'backbone.layer4.1.conv1.weight'
    assert torch.equal(two[frozen], one[frozen]) and any('.adapter.' in name for name in two)


def test_names_of_timm_s_backbone_are_found():
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(ROOT / 'configs' / 'timm_resnet18_tiny_imagenet.py')
    model = MODELS.build(cfg.model)
    state = timm.create_model('resnet18', num_classes=20).state_dict()
    expected = {name: value.clone() for name, value in state.items()}
    assert 'backbone.timm_model.*, its classifier (fc.bias, fc.weight) that of the head' in rename_for(model, state)
    own = model.state_dict()
    assert {name for name in own if '.adapter.' not in name} == state.keys()
    assert torch.equal(state['backbone.timm_model.layer1.0.conv1.weight'], expected['layer1.0.conv1.weight'])
    assert torch.equal(state['head.fc.weight'], expected['fc.weight'])
    assert rename_for(model, state) is None, "they are the model's now"


def test_weights_of_another_network_keep_their_names():
    init_default_scope('mmpretrain')
    model = MODELS.build(Config.fromfile(ROOT / 'configs' / 'resnet18_photos.py').model)
    state = timm.create_model('mobilenetv3_small_050').state_dict()
    names = list(state)
    assert rename_for(model, state) is None and list(state) == names


@pytest.mark.parametrize('kind', ['other network', 'cut off', 'empty'])
def test_what_cannot_be_loaded_is_named_before_training(kind, network, image_folders, tmp_path, monkeypatch):
    other = timm.create_model('mobilenetv3_small_050').state_dict()
    file = Path(written('safetensors', other if kind == 'other network' else network.state_dict(), tmp_path))
    if kind != 'other network':
        file.write_bytes(file.read_bytes()[: 1000 if kind == 'cut off' else 0])
    cfg = config(tmp_path, image_folders, monkeypatch, str(file))
    wanted = 'of another architecture' if kind == 'other network' else f'checkpoint {file} is damaged or no safetensors'
    with pytest.raises(ValueError, match=wanted):
        KaizenRunner.from_cfg(cfg).train()
    assert not list(Path(cfg.work_dir).rglob('*.pth'))


def test_a_name_of_timm_is_read_by_timm(monkeypatch, network):
    monkeypatch.setattr(timm, 'create_model', lambda name, pretrained: network)
    loaded = load_timm_weights('timm::resnet18.a1_in1k')['state_dict']
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_a_name_that_timm_does_not_know_is_an_error_that_says_what_to_give():
    with pytest.raises(ValueError, match=r'load_from timm::no_such_network: timm could not give .*list_pretrained'):
        load_timm_weights('timm::no_such_network')
