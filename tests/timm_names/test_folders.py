"""Networks saved and loaded in Hugging Face's format, without the hub."""

import json

import pytest
import timm
import torch
from timm.models import save_for_hf

import kaizen_mm  # noqa: F401  registers the names

NETWORKS = {
    'mfnet2d_n9': (dict(img_size=64), (3, 64, 64)),
    'kaizen_mfnet2d_n9': (dict(img_size=64, pool_padding=1, num_iterations=2), (3, 64, 64)),
    'kaizen_mfnet3d_n9': (dict(input_size=(8, 64, 64), pool_padding=1), (3, 8, 64, 64)),
    'cornet_z': (dict(width=0.125), (3, 64, 64)),
}


def saved(name, folder, **options):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=5, **NETWORKS[name][0]).eval()
    save_for_hf(network, folder, **options)
    return network


@pytest.mark.parametrize('safe', [False, True])
@pytest.mark.parametrize('name', NETWORKS)
def test_whoever_gets_the_folder_loads_it_with_one_call(name, safe, tmp_path):
    network = saved(name, tmp_path, safe_serialization=safe)
    again = timm.create_model(f'local-dir:{tmp_path}', pretrained=True).eval()
    x = torch.randn(2, *NETWORKS[name][1])
    assert torch.equal(again(x), network(x))
    if hasattr(network, 'forward_iterates'):
        assert len(again.forward_iterates(x)) == len(network.forward_iterates(x))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize('name', ['kaizen_mfnet2d_n9', 'cornet_z'])
def test_a_damaged_file_in_the_folder_is_named(name, tmp_path):
    saved(name, tmp_path)
    flip(tmp_path / 'pytorch_model.bin')
    with pytest.raises(ValueError, match='pytorch_model.bin is damaged'):
        timm.create_model(f'local-dir:{tmp_path}', pretrained=True)


def test_what_is_missing_is_named(tmp_path):
    saved('cornet_z', tmp_path)
    config = tmp_path / 'config.json'
    content = json.loads(config.read_text())
    (tmp_path / 'pytorch_model.bin').unlink()
    with pytest.raises(RuntimeError, match=str(tmp_path)):
        timm.create_model(f'local-dir:{tmp_path}', pretrained=True)
    config.write_text(json.dumps({**content, 'architecture': 'cornet_y'}))
    with pytest.raises(RuntimeError, match='cornet_y'):
        timm.create_model(f'local-dir:{tmp_path}', pretrained=True)
    config.unlink()
    with pytest.raises(FileNotFoundError, match='config.json'):
        timm.create_model(f'local-dir:{tmp_path}', pretrained=True)
