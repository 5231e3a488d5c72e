"""Small configs and checkpoints that stand for trained ones."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from tests.conftest import ROOT
from tests.openmmlab.test_any_network import tiny

VIDEO_STEPS = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=8, frame_interval=2, num_clips=1, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]


def video_config() -> Config:
    """MFNet-3D for the tiny digits, eight classes, K = 3; the recurrence acts."""
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mfnet_digits.py')
    cfg.model.backbone.update(input_size=(16, 32, 32), widths=(8, 8, 8, 16), units=(1, 1, 1, 1), groups=2, alpha=1.0)
    cfg.model.cls_head.head.update(num_classes=8, in_channels=16)
    return cfg


def image_config() -> Config:
    """MFNet-2D for images of 64 px, four classes, K = 3; the recurrence acts."""
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mfnet2d_tiny_imagenet_k3.py')
    cfg.model.backbone.update(widths=(8, 8, 8, 16), units=(1, 1, 1, 1), groups=2, alpha=1.0)
    cfg.model.head.head.update(num_classes=4, in_channels=16)
    return cfg


def stock_video_config() -> Config:
    """SlowOnly of ``configs/any_network``, narrow, for clips of 32 px."""
    cfg = tiny('slowonly_r50')
    cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline = VIDEO_STEPS
    return cfg


def stock_image_config() -> Config:
    """ResNet-18 of ``configs/any_network`` for images of 32 px."""
    cfg = tiny('resnet18_in1k')
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]
    cfg.test_dataloader.dataset.pipeline = steps
    return cfg


def save(cfg: Config, path: Path, classes=None, seed: int = 0) -> str:
    """Writes a checkpoint of the config's network with random weights, as a training does; returns its path."""
    init_default_scope(cfg.default_scope)
    torch.manual_seed(seed)
    network = MODELS.build(cfg.model)
    torch.save(
        dict(state_dict=network.state_dict(), meta=dict(dataset_meta=dict(classes=classes) if classes else {})), path
    )
    return str(path)
