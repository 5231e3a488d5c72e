"""Every config for videos builds and takes one training step and one ten-clip test step on tiny input."""

import math
import re
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.layers.global_adapter import GlobalAdapter
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from tests.conftest import configs
from tests.openmmlab.samples import batch

FOLDER = Path(__file__).resolve().parent.parent / 'configs'
LOADED = configs('mmaction')
CONFIGS = list(LOADED)
TINY = (10, 96, 96)
# names of the frozen weights W_1
W_1 = (
    'conv5.B02.wrapped.conv_i1.conv.weight',
    'conv5.B02.wrapped.conv_i2.conv.weight',
    'layer4.1.wrapped.conv1.conv.weight',
    'layer4.2.wrapped.conv1.conv.weight',
    *(f'conv3.wrapped.conv3.B0{unit}.conv_i{conv}.conv.weight' for unit in (1, 2, 3) for conv in (1, 2)),
)
# the paper's tables 2 and 3 and the exact counts of our networks
PARAMETERS = {
    'mfnet_ucf101.py': 496_921,
    'mfnet_ucf101_control.py': 496_921,
    'mfnet_big_ucf101.py': 7_766_437,
    'kaizen_mfnet_ucf101.py': 537_721,
    'kaizen_mfnet_ucf101_k3.py': 537_721,
    'recurrent_mfnet_ucf101_k2.py': 537_721,
    'recurrent_mfnet_ucf101_k3.py': 537_721,
    'mfnet_hmdb51.py': 487_271,
    'mfnet_hmdb51_control.py': 487_271,
    'mfnet_big_hmdb51.py': 7_727_987,
    'kaizen_mfnet_hmdb51.py': 528_071,
    'kaizen_mfnet_hmdb51_k3.py': 528_071,
    'recurrent_mfnet_hmdb51_k2.py': 528_071,
    'recurrent_mfnet_hmdb51_k3.py': 528_071,
    'bagnet3d_moving_camera.py': 28_680,
    'kaizen_bagnet3d_moving_camera_k2.py': 36_536,
    'bagnet3d_moving_camera_attention.py': 33_480,
    'bagnet3d_moving_camera_one_pass.py': 36_024,
    'kaizen_bagnet3d_moving_camera_k2_attention.py': 41_336,
}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


def load(name: str) -> Config:
    cfg = Config.fromfile(FOLDER / name)
    if 'slowonly_r50' in name:  # large: narrow, on small clips
        cfg.model.backbone.update(input_shape=(3, 8, 32, 32), pool_kernel=1)
        cfg.model.backbone.backbone.base_channels = 8
        cfg.model.cls_head.head.in_channels = 256
    return cfg


def test_the_rows_of_the_tables_are_there():
    assert set(PARAMETERS) <= set(CONFIGS)


@pytest.mark.parametrize('name', sorted(PARAMETERS))
def test_parameter_counts(name):
    model = MODELS.build(load(name).model)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize('name', CONFIGS)
def test_one_training_and_one_test_step(name):
    torch.manual_seed(0)
    cfg = load(name)
    backbone = cfg.model.backbone
    frames = cfg.model.type == 'Recognizer2D'
    size = tuple(backbone.input_shape)[1:] if 'input_shape' in backbone else TINY[1:] if frames else TINY
    if 'input_size' in backbone or backbone.type == 'RecurrentMFNet3d':
        backbone.input_size = TINY
    iterations = backbone.get('num_iterations', 1)
    channels = 1 if 'bagnet3d' in name else 3
    model = MODELS.build(cfg.model)
    for adapter in (module for module in model.modules() if isinstance(module, GlobalAdapter)):
        for linear in adapter.linears:  # A starts at zero: h would not move in the first step
            torch.nn.init.normal_(linear.weight, std=0.1)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    model.train()
    before = {k: v.clone() for k, v in model.named_parameters()}
    log = model.train_step(batch(3 if frames else 1, size, channels=channels), optimizer)
    assert math.isfinite(float(log['loss'])) and float(log['loss']) == pytest.approx(float(log['loss_cls']))
    assert len([k for k in log if k.endswith('_ce')]) == (iterations if iterations > 1 else 0)
    for key, value in model.named_parameters():
        moved = not torch.equal(before[key], value)
        frozen = iterations > 1 and key.endswith(W_1) and backbone.get('freeze_dynamic', True)
        assert moved != frozen, key
    model.eval()
    metric = METRICS.build(cfg.test_evaluator)
    with torch.no_grad():
        samples = model.test_step(batch(10, size, channels=channels))
    metric.process(None, [s.to_dict() for s in samples])
    values = metric.evaluate(2)
    assert ('acc/iterate_1/clip_top1' in values) == (iterations > 1)
    assert all(s.pred_score.sum() == pytest.approx(1, abs=1e-4) for s in samples)
    assert cfg.auto_scale_lr.base_batch_size > 0


@pytest.mark.parametrize('name', [name for name, cfg in LOADED.items() if cfg.get('phase_one')])
def test_phase_one_of_a_two_phase_config_is_the_plain_config(name):
    cfg = load(name)
    one = phase_one_config(cfg, 'somewhere')
    model = MODELS.build(one.model)
    assert all(b.num_iterations == 1 for _, b in recurrent_blocks(model))
    assert all(p.requires_grad for p in model.parameters())
    family = re.fullmatch(r'(?:kaizen_|recurrent_)?(.*?)(?:_two_phases)?(?:_control|_k\d|_global)?\.py', name)[1]
    family = family.removesuffix('_stages')  # its plain network within AdaptiveRecurrentBackbone
    plain = load(f'{family}.py')
    for key in (
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'train_dataloader',
        'val_dataloader',
        'test_dataloader',
        'auto_scale_lr',
    ):
        assert one[key] == plain[key], key
    other = MODELS.build(plain.model)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (model, other)]
    assert shapes[0] == shapes[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'mfnet_ucf101.py',
        'mfnet_hmdb51.py',
        'mfnet_list.py',
        'kaizen_mfnet_digits.py',
        'slowonly_r18_list.py',
        'slowonly_r50_list.py',
    ],
)
@pytest.mark.parametrize('loader, clips', [('train_dataloader', 1), ('val_dataloader', 1), ('test_dataloader', 10)])
def test_pipelines_give_the_clips_that_the_networks_take(name, loader, clips, digits):
    frames = {'slowonly_r18_list.py': 4, 'slowonly_r50_list.py': 8}.get(name, 16)
    size = 32 if 'digits' in name else 112 if '_list' in name and 'r50' not in name else 224
    assert inputs(name, loader, digits).shape == (clips, 3, frames, size, size)


@pytest.mark.parametrize('loader, frames', [('train_dataloader', 3), ('val_dataloader', 3), ('test_dataloader', 25)])
def test_pipelines_give_the_frames_that_tsn_takes(loader, frames, digits):
    assert inputs('tsn_r18_list.py', loader, digits).shape == (frames, 3, 112, 112)


def inputs(name: str, loader: str, digits: Path) -> torch.Tensor:
    """The first item of a dataset that reads the tiny digits."""
    dataset = load(name)[loader].dataset
    split = 'train' if loader == 'train_dataloader' else 'val'
    dataset.update(ann_file=str(digits / f'{split}.txt'), data_prefix=dict(video=str(digits / 'videos')), num_classes=8)
    return DATASETS.build(dataset)[0]['inputs']
