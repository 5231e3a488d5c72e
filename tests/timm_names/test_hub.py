"""Networks of timm that were made recurrent, in Hugging Face's format."""

import json
import shutil
from pathlib import Path

import pytest
import timm
import torch
from timm.models import _hub
from torch import nn

import kaizen_mm
from kaizen_mm.inference.timm_networks import TimmPredictor
from kaizen_mm.surgery import RecurrentNetwork
from kaizen_mm.timm_names.hub import hf_arguments, load_from_hf, save_for_hf
from tests.timm_names.test_folders import flip

X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def one_block(**options):
    plain = timm.create_model('test_resnet', num_classes=5, zero_init_last=False)
    return RecurrentNetwork(plain, 'layer4.0', X, 'conv1', pool_kernel=2, pool_stride=(2, 2), **options)


def in_one_call():
    return kaizen_mm.recurrent(timm.create_model('resnet18', num_classes=5, zero_init_last=False), X, quiet=True)


def two_blocks():
    plain = timm.create_model('test_resnet', num_classes=5, zero_init_last=False)
    blocks = {'layer3.0': dict(dynamic='conv2'), 'layer4.0': dict(dynamic=['conv1'])}
    return RecurrentNetwork(plain, blocks, X, adapter='global', alpha=0.5, norm_statistics='shared', num_iterations=2)


def vit():
    return kaizen_mm.recurrent(timm.create_model('test_vit', num_classes=5, img_size=64), X, quiet=True)


def gray():
    plain = timm.create_model('test_resnet', num_classes=5, in_chans=1, zero_init_last=False)
    return RecurrentNetwork(plain, 'layer4.0', X[:, :1], 'conv1', adapter='global', freeze_dynamic=False)


def named():
    return timm.create_model('kaizen_bagnet_cifar10', num_classes=5, num_iterations=3)


NETWORKS = [one_block, in_one_call, two_blocks, vit, gray, named]


def acting(make):
    """Whose h acts and whose statistics are no one's beginning."""
    torch.manual_seed(0)
    network = make()
    with torch.no_grad():
        for name, p in network.named_parameters():
            if '.adapter.' in name:
                nn.init.normal_(p, std=0.1)
    network.load_state_dict(network.state_dict())
    network.train().forward_iterates(inputs(make))
    return network.eval()


def inputs(make):
    return X[:, :1] if make is gray else X


@pytest.mark.parametrize('safe', [True, False])
@pytest.mark.parametrize('make', NETWORKS)
def test_whoever_gets_the_folder_loads_it_with_one_call(make, safe, tmp_path):
    network = acting(make)
    save_for_hf(network, tmp_path / 'net', safe_serialization=safe)
    names = {path.name for path in (tmp_path / 'net').iterdir()}
    assert names == {'config.json', 'model.safetensors' if safe else 'pytorch_model.bin'}
    assert [path.name for path in tmp_path.iterdir()] == ['net'], 'nothing else is left'
    moved = shutil.move(tmp_path / 'net', tmp_path / 'moved')
    expected = network.forward_iterates(inputs(make))
    for again in (load_from_hf(moved), timm.create_model(f'local-dir:{moved}', pretrained=True)):
        assert again.eval().num_iterations == len(expected)
        for ours, theirs in zip(expected, again.forward_iterates(inputs(make))):
            assert torch.equal(ours, theirs)
        trained = {name: p.requires_grad for name, p in network.named_parameters()}
        assert {name: p.requires_grad for name, p in again.named_parameters()} == trained
    assert (expected[0] - expected[-1]).abs().max() > 1e-4, 'the recurrence acts'


def test_a_folder_that_was_loaded_can_be_saved_again_with_another_k(tmp_path):
    network = acting(one_block)
    save_for_hf(network, tmp_path / 'a')
    again = load_from_hf(tmp_path / 'a')
    again.num_iterations = 2
    save_for_hf(again, tmp_path / 'b', model_config=dict(label_names=list('abcde')))
    third = load_from_hf(tmp_path / 'b').eval()
    for ours, theirs in zip(network.forward_iterates(X), third.forward_iterates(X)):
        assert torch.equal(ours, theirs)
    assert third.num_iterations == 2 and third.pretrained_cfg['label_names'] == list('abcde')


def test_another_classifier(tmp_path):
    network = acting(one_block)
    save_for_hf(network, tmp_path / 'a')
    other = load_from_hf(tmp_path / 'a', num_classes=3).eval()
    assert other(X).shape == (2, 3) and torch.equal(other.forward_features(X), network.forward_features(X))


def test_the_config_tells_the_size_and_the_recurrence(tmp_path):
    save_for_hf(one_block(), tmp_path / 'a')
    config = json.loads((tmp_path / 'a/config.json').read_text())
    assert config['architecture'] == 'kaizen_recurrent' and config['num_classes'] == 5
    assert config['pretrained_cfg']['input_size'] == [3, 64, 64] and config['pretrained_cfg']['fixed_input_size']
    arguments = config['model_args']
    assert arguments['network'] == 'test_resnet' and arguments['num_iterations'] == 3
    assert arguments['recurrence']['block'] == 'layer4.0' and arguments['recurrence']['pool_stride'] == [2, 2]
    save_for_hf(gray(), tmp_path / 'b')
    config = json.loads((tmp_path / 'b/config.json').read_text())
    assert config['pretrained_cfg']['input_size'] == [1, 64, 64] and not config['pretrained_cfg']['fixed_input_size']


def test_a_folder_predicts(tmp_path, image_folders):
    network = acting(one_block)
    save_for_hf(network, tmp_path / 'a')
    predictor = TimmPredictor(f'local-dir:{tmp_path / "a"}', tmp_path / 'a/model.safetensors', device='cpu')
    assert predictor.num_iterations == 3 and predictor.size == (64, 64)
    (prediction,) = predictor(next(image_folders.rglob('*.png')))
    assert prediction.probabilities.shape == (3, 5)


def test_what_is_uploaded_to_the_hub_is_such_a_folder(tmp_path, monkeypatch):
    class Api:
        def __init__(self, **kwargs):
            pass

        def create_repo(self, name, **kwargs):
            return type('Url', (), dict(repo_id=name))

        def file_exists(self, **kwargs):
            return False

        def upload_folder(self, folder_path, **kwargs):
            shutil.copytree(folder_path, tmp_path / 'hub')

    monkeypatch.setattr(_hub, 'HfApi', Api)
    network = acting(one_block)
    timm.models.push_to_hf_hub(network, 'someone/net', **hf_arguments(network))
    assert (tmp_path / 'hub/README.md').is_file()
    assert torch.equal(load_from_hf(tmp_path / 'hub').eval()(X), network(X))


class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.conv(x).mean(dim=(2, 3)))


def lied(network):
    network.made_with['pool_kernel'] = 1
    return network


def of_a_mapping():
    plain = timm.create_model('test_resnet', num_classes=5)
    return RecurrentNetwork(plain, 'layer4.0', dict(x=X), 'conv1', adapter='global')


@pytest.mark.parametrize(
    'make, message',
    [
        (Other, 'network must be one of timm, got Other'),
        (lambda: RecurrentNetwork(Other(), 'conv', X, ''), 'network must be of a network of timm, got one of Other'),
        (of_a_mapping, 'must have been made recurrent with one tensor'),
        (lambda: lied(acting(one_block)), 'network: what was written gives other scores'),
        (lambda: lied(acting(vit)), 'network: what was written does not load'),
    ],
)
def test_what_cannot_be_saved_is_named_and_what_was_there_stays(make, message, tmp_path):
    save_for_hf(one_block(), tmp_path / 'a')
    before = {path.name: path.read_bytes() for path in (tmp_path / 'a').iterdir()}
    with pytest.raises(ValueError, match=message):
        save_for_hf(make(), tmp_path / 'a')
    assert {path.name: path.read_bytes() for path in (tmp_path / 'a').iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ['a']


def no_folder(folder):
    shutil.rmtree(folder)


def no_config(folder):
    (folder / 'config.json').unlink()


def no_weights(folder):
    (folder / 'model.safetensors').unlink()


def cut_config(folder):
    (folder / 'config.json').write_text((folder / 'config.json').read_text()[:100])


def other_config(folder):
    (folder / 'config.json').write_text('[]')


def edited(**entries):
    def edit(folder):
        config = json.loads((folder / 'config.json').read_text())
        (folder / 'config.json').write_text(json.dumps(config | entries))

    return edit


def cut_weights(folder):
    content = (folder / 'model.safetensors').read_bytes()
    (folder / 'model.safetensors').write_bytes(content[: len(content) // 2])


def damaged_pickle(folder):
    save_for_hf(one_block(), folder, safe_serialization=False)
    (folder / 'model.safetensors').unlink()
    flip(folder / 'pytorch_model.bin')


@pytest.mark.parametrize(
    'damage, error, message',
    [
        (no_folder, FileNotFoundError, 'no folder .*net'),
        (no_config, FileNotFoundError, r'net has no config\.json'),
        (no_weights, FileNotFoundError, r'net has no weights, neither model\.safetensors'),
        (cut_config, ValueError, r'net/config\.json is damaged, or names no architecture'),
        (other_config, ValueError, r'net/config\.json is damaged, or names no architecture'),
        (edited(architecture='no_such_net'), ValueError, r"config\.json: timm .* know no network 'no_such_net'"),
        (edited(model_args={}), ValueError, 'kaizen_recurrent must be given network, recurrence, input_shape'),
        (edited(architecture='test_resnet', model_args={}), ValueError, 'net cannot be loaded: '),
        (cut_weights, ValueError, 'net cannot be loaded: SafetensorError'),
        (damaged_pickle, ValueError, r'pytorch_model\.bin is damaged'),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_named(damage, error, message, tmp_path):
    folder = Path(tmp_path, 'net')
    save_for_hf(one_block(), folder)
    damage(folder)
    with pytest.raises(error, match=message):
        load_from_hf(folder)


def test_the_name_alone_says_what_it_is_for():
    with pytest.raises(ValueError, match='must be given network, recurrence, input_shape: .*load_from_hf'):
        timm.create_model('kaizen_recurrent')
