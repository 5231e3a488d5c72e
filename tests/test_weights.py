"""The weights that the package brings: what they are, every way in, and that they do what their cards say."""

import json
import os
from pathlib import Path

import mmpretrain
import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.config_files import CONFIGS
from kaizen_mm.inference.timm_networks import TimmPredictor
from kaizen_mm.weights import FOLDER, FORMAT, PREFIX, network_names, read_weights, weights_file, weights_names

NAMES = weights_names()
IN_TIMM = [name for name in NAMES if name in timm.list_models()]
DATA = Path(os.environ.get('KAIZEN_DATA', 'data'))


def model_of(name):
    cfg = Config.fromfile(CONFIGS / read_weights(name).card['config'])
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    load_checkpoint(model, f'kaizen_mm::{name}', strict=True)
    return cfg, model.eval()


def iterate_logits(model, x):
    head, features = (model.head, model.extract_feat(x)) if hasattr(model, 'head') else (model.cls_head, None)
    features = model.backbone(x) if features is None else features
    return torch.stack(head.iterate_scores(features))


def test_the_page_names_all_of_them():
    page = (FOLDER.parents[1] / 'docs' / 'weights.md').read_text()
    for name in NAMES:
        accuracy = ', '.join(f'{value:.2f}' for value in read_weights(name).card['test_top1'])
        assert any(f'`{name}`' in line and f'| {accuracy} |' in line for line in page.splitlines()), name
    assert set(IN_TIMM) == {name for name in NAMES if 'bagnet' in name}


@pytest.mark.parametrize('name', NAMES)
def test_a_file_is_small_and_has_a_card_that_says_what_it_says(name):
    file, card = weights_file(f'kaizen_mm::{name}'), read_weights(name).card
    page = (FOLDER / f'{name}.md').read_text()
    assert file.stat().st_size < 200_000 and card['license'] == 'Apache-2.0' and card['seed'] == 0
    assert ', '.join(f'{value:.2f}' for value in card['test_top1']) in page
    assert card['config'] in page and ', '.join(card['classes']) in page
    assert len(card['test_top1']) == card['num_iterations']


@pytest.mark.parametrize('name', NAMES)
def test_the_config_s_model_takes_them_whole(name):
    _, model = model_of(name)
    state_dict = read_weights(name).state_dict
    assert model.state_dict().keys() == state_dict.keys()
    assert all(torch.equal(value, state_dict[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize('name', IN_TIMM)
def test_timm_gives_the_same_network(name):
    _, model = model_of(name)
    network = timm.create_model(name, pretrained=True).eval()
    x = torch.randn(3, *network.pretrained_cfg['input_size'])
    with torch.no_grad():
        ours = torch.stack(network.forward_iterates(x)) if hasattr(network, 'forward_iterates') else network(x)[None]
        torch.testing.assert_close(ours, iterate_logits(model, x))
        other = timm.create_model(name, pretrained=True, num_classes=3).eval()
        assert other(x).shape == (3, 3) and torch.equal(other.forward_features(x), network.forward_features(x))


@pytest.mark.parametrize('name', [name for name in NAMES if 'camera' not in name])
def test_mmpretrain_gives_the_same_model_by_name(name):
    model = mmpretrain.get_model(name, pretrained=True)
    state_dict = read_weights(name).state_dict
    assert all(torch.equal(value, state_dict[key]) for key, value in model.state_dict().items())
    assert model._dataset_meta['classes'] == tuple(read_weights(name).card['classes'])
    assert Path(model._config.filename).name == read_weights(name).card['config'] and name in mmpretrain.list_models()


def data_of(name, cfg):
    """Inputs as the network gets them, in batches, with labels."""
    if 'cifar10' in name and not (DATA / 'cifar10').is_dir():
        pytest.skip('needs KAIZEN_DATA/cifar10')
    if 'mnist' in name and not (DATA / 'mnist').is_dir():
        pytest.skip('needs KAIZEN_DATA/mnist')
    return DATASETS.build(cfg.test_dataloader.dataset)


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_the_recorded_accuracy_comes_out(name):
    cfg, model = model_of(name)
    dataset = data_of(name, cfg)
    right = 0
    with torch.no_grad():
        for indices in torch.arange(len(dataset)).split(500):
            if hasattr(dataset, '__getitems__'):
                batch = dataset.__getitems__(indices.tolist())
            else:
                batch = pseudo_collate([dataset[index] for index in indices.tolist()])
            data = model.data_preprocessor(batch, False)
            labels = torch.stack([sample.gt_label.flatten()[0] for sample in data['data_samples']])
            x = data['inputs'].flatten(0, 1) if data['inputs'].dim() == 6 else data['inputs']
            right = right + (iterate_logits(model, x).argmax(dim=2) == labels).sum(dim=1)
    measured = (100 * right / len(dataset)).tolist()
    assert measured == pytest.approx(read_weights(name).card['test_top1'], abs=0.02)


def test_predictions_by_name_know_the_classes(tmp_path):
    predictor = TimmPredictor('kaizen_bagnet_cifar10', 'kaizen_mm::kaizen_bagnet_cifar10')
    assert predictor.names[:2] == ['airplane', 'automobile'] and predictor.num_iterations == 2


def test_a_file_of_the_package_is_read_as_its_name():
    by_name, by_file = (CheckpointLoader.load_checkpoint(str(x)) for x in (f'{PREFIX}mnist', weights_file('mnist')))
    assert by_file['meta'] == by_name['meta'] and by_file['meta']['dataset_meta']['classes'][1] == '1'
    assert all(torch.equal(by_file['state_dict'][name], value) for name, value in by_name['state_dict'].items())


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights 'kaizen_bagnet_cifar'; near it: kaizen_bagnet_cifar10"):
        read_weights('kaizen_mm::kaizen_bagnet_cifar')
    with pytest.raises(FileNotFoundError, match='no weights'):
        read_weights('kaizen_mm::../weights/bagnet_cifar10')
    weights = read_weights('bagnet_cifar10')
    other = tmp_path / 'other.safetensors'
    for metadata in (None, dict(format='0', card=json.dumps(weights.card))):
        save_file(weights.state_dict, str(other), metadata=metadata)
        with pytest.raises(ValueError, match=f'other.safetensors must be of format {FORMAT}, got'):
            read_weights(str(other))
    with pytest.raises(ValueError, match=f'other.safetensors must be of format {FORMAT}, got .0.'):
        read_checkpoint(other)  # as tests and trainings do that are given the file
    content = weights_file('bagnet_cifar10').read_bytes()
    for damaged in (content[:1000], content[:-1], b'', bytes(100)):
        other.write_bytes(damaged)
        with pytest.raises(ValueError, match='other.safetensors are damaged or no safetensors'):
            read_weights(str(other))
    with pytest.raises(FileNotFoundError, match='no weights file'):
        read_weights(str(tmp_path / 'nowhere.safetensors'))


def test_names_of_the_network_alone():
    assert set(network_names(read_weights('bagnet_cifar10').state_dict)) == set(
        timm.create_model('bagnet_cifar10').state_dict()
    )
    plain = {'conv1.weight': torch.zeros(1)}
    assert network_names(plain) == plain


@pytest.mark.parametrize('name', IN_TIMM)
def test_torch_hub_finds_them_in_a_checkout(name):
    root = Path(__file__).resolve().parent.parent
    net = torch.hub.load(str(root), name, source='local', pretrained=True)
    assert torch.equal(net.conv1.weight, network_names(read_weights(name).state_dict)['conv1.weight'])
