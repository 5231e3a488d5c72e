"""Weights that the package brings, folders in Hugging Face's format, names that lead elsewhere, views of a video."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Iterator

import timm
import torch
from mmaction.registry import TRANSFORMS
from mmengine.registry import DefaultScope
from safetensors.torch import save_file
from timm.models import save_for_hf

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.config_files import config_path
from kaizen_mm.surgery import RecurrentNetwork
from kaizen_mm.timm_names import hub
from kaizen_mm.weights import read_weights, weights_file
from tests.faults.case import Case
from tests.faults.samples import Samples, tool


def released(samples: Samples) -> Iterator[Case]:
    content = weights_file('bagnet_cifar10').read_bytes()
    for name, made in (
        ('empty', b''),
        ('cut', content[: len(content) // 2]),
        ('text', b'no weights'),
        ('a byte less', content[:-1]),
    ):
        yield Case('released', f'{name} safetensors', 'error', r'own\.safetensors', partial(_read, made))
    for name, metadata in (('no format', None), ('another format', dict(format='0', card='{}'))):
        yield Case('released', f'safetensors of {name}', 'error', 'format', partial(_other_version, metadata))
    act = partial(_other_version, dict(format='0', card='{}'), read=read_checkpoint)
    yield Case('released', 'a checkpoint that is safetensors of another format', 'error', 'format', act)
    for name in ('bagnet', '../weights/bagnet_cifar10', ''):
        yield Case('released', f'weights kaizen_mm::{name}', 'error', 'no weights', partial(_weights, name))
    for name in ('../..', '../../__init__.py', '', '_base_'):
        yield Case('released', f'config kaizen_mm::{name}', 'error', 'no config', partial(_config, name))
    yield Case(
        'released',
        'weights of another network: test.py',
        'error',
        'classes differ|another architecture',
        lambda folder: tool('test.py', 'kaizen_mm::mnist.py', 'kaizen_mm::bagnet_cifar10', '--work-dir', 'test'),
    )
    for damage, pattern in (
        ('no config', r'config\.json'),
        ('no weights', 'checkpoint'),
        ('damaged weights', r'pytorch_model\.bin'),
        ('another name', 'no_such_network'),
    ):
        yield Case('released', f'folder of the hub: {damage}', 'error', pattern, partial(_hub_folder, damage))
    for damage, pattern in (
        ('no folder', 'no folder'),
        ('no config', r'config\.json'),
        ('no weights', r'model\.safetensors'),
        ('a config cut', r'config\.json is damaged'),
        ('weights cut', r'net cannot be loaded: SafetensorError'),
        ('a config of another network', 'net cannot be loaded'),
        ('a config without the recurrence', 'must be given network, recurrence'),
    ):
        yield Case('released', f'folder of a recurrent network: {damage}', 'error', pattern, partial(_folder, damage))
    for name, kept in (('half of the images', lambda images: images[::2]), ('no image', lambda images: [])):
        yield Case('released', f'OnDistinctFrames: {name}', 'error', 'one image a frame', partial(_views, kept))
    yield Case('released', 'OnDistinctFrames behind decoding', 'error', 'begin with decoding', _decoded)


def _read(content: bytes, folder: Path):
    (folder / 'own.safetensors').write_bytes(content)
    read_weights('own.safetensors')


def _other_version(metadata, folder: Path, read=read_weights):
    save_file(dict(a=torch.zeros(1)), 'own.safetensors', metadata=metadata)
    read('own.safetensors')


def _weights(name, folder: Path):
    read_weights(f'kaizen_mm::{name}')


def _config(name, folder: Path):
    config_path(f'kaizen_mm::{name}')


def _hub_folder(damage: str, folder: Path):
    save_for_hf(timm.create_model('mfnet2d_n9', num_classes=2, img_size=32), 'net')
    config, weights = Path('net', 'config.json'), Path('net', 'pytorch_model.bin')
    if damage == 'no config':
        config.unlink()
    elif damage == 'no weights':
        weights.unlink()
    elif damage == 'damaged weights':
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 4
        weights.write_bytes(content)
    else:
        config.write_text(json.dumps({**json.loads(config.read_text()), 'architecture': 'no_such_network'}))
    timm.create_model('local-dir:net', pretrained=True)


def _folder(damage: str, folder: Path):
    net = RecurrentNetwork(
        timm.create_model('test_resnet'), 'layer4.0', torch.zeros(1, 3, 64, 64), 'conv1', adapter='global'
    )
    hub.save_for_hf(net, 'net')
    config, weights = Path('net', 'config.json'), Path('net', 'model.safetensors')
    content = json.loads(config.read_text())
    if damage == 'no folder':
        shutil.rmtree('net')
    elif damage == 'no config':
        config.unlink()
    elif damage == 'no weights':
        weights.unlink()
    elif damage == 'a config cut':
        config.write_text(config.read_text()[:90])
    elif damage == 'weights cut':
        weights.write_bytes(weights.read_bytes()[:-1])
    else:
        other = dict(architecture='test_resnet') if 'another' in damage else {}
        config.write_text(json.dumps({**content, 'model_args': {}, **other}))
    hub.load_from_hf('net')


def _views(kept, folder: Path):
    with DefaultScope.overwrite_default_scope('mmaction'):
        frames = TRANSFORMS.build(dict(type='OnDistinctFrames', transforms=[dict(type='CenterCrop', crop_size=4)]))
    frames.transforms.transforms.append(lambda results: {**results, 'imgs': kept(results['imgs'])})
    images = [torch.zeros(8, 8, 3).numpy() for _ in range(4)]
    frames(dict(imgs=images, frame_inds=torch.arange(4).numpy(), modality='RGB', img_shape=(8, 8)))


def _decoded(folder: Path):
    with DefaultScope.overwrite_default_scope('mmaction'):
        frames = TRANSFORMS.build(dict(type='OnDistinctFrames', transforms=[dict(type='TenCrop', crop_size=4)]))
    images = [torch.zeros(8, 8, 3).numpy() for _ in range(4)]
    frames(dict(imgs=images, frame_inds=torch.tensor([0, 1, 1, 2]).numpy(), modality='RGB', img_shape=(8, 8)))
