"""Each config of configs/any_network on a tiny network of its kind: it is the stock one, made recurrent."""

import ast
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import METRICS, MODELS, init_default_scope
from mmpretrain.structures import DataSample
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.openmmlab.runner import KaizenRunner
from tests.openmmlab.samples import batch

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'any_network'
CONFIGS = sorted(p.stem for p in FOLDER.glob('*.py'))
VIDEOS = [name for name in CONFIGS if 'mmaction::' in (FOLDER / f'{name}.py').read_text()]
MAP_2D = dict(input_shape=(3, 32, 32), pool_kernel=1)
MAP_3D = dict(input_shape=(3, 8, 32, 32), pool_kernel=1)
PARTS_2D = dict(input_shape=(3, 96, 96), pool_kernel=1, pool_stride=1)  # a last map of 3 x 3
NARROW = dict(base_channels=8)
SWIN = dict(embed_dims=24, depths=[2, 2, 6, 2], num_heads=[1, 2, 2, 2])
TPN = dict(
    in_channels=(256, 512),
    out_channels=64,
    spatial_modulation_cfg=dict(in_channels=(256, 512), out_channels=512),
    level_fusion_cfg=dict(in_channels=(64, 64), mid_channels=(64, 64), out_channels=128),
)
# what makes a config small enough: of the recurrent backbone, of the network in it, of the head, of the neck
TINY = {
    'i3d_r50': (MAP_3D, NARROW, dict(in_channels=256)),
    'slowonly_r50': (MAP_3D, NARROW, dict(in_channels=256)),
    'tpn_slowonly_r50': (MAP_3D, dict(base_channels=16), {}, TPN),
    'slowfast_r50': (
        MAP_3D,
        dict(slow_pathway=dict(base_channels=32), fast_pathway=dict(base_channels=4)),
        dict(in_channels=1152),
    ),
    'csn_r50': (dict(MAP_3D, alpha=1.0), NARROW, dict(in_channels=256)),
    'r2plus1d_r34': (dict(input_shape=(3, 8, 96, 96), pool_kernel=1, pool_stride=1), NARROW, dict(in_channels=64)),
    'c3d': (dict(input_shape=(3, 16, 32, 32), pool_kernel=2), dict(out_dim=2048), {}),
    'x3d_s': (dict(input_shape=(3, 4, 96, 96), pool_kernel=(4, 1, 1), pool_stride=1), {}, {}),
    'tsn_r50': (MAP_2D, {}, {}),
    'tsm_r50': (MAP_2D, {}, {}),
    'timesformer_b16': (
        dict(input_shape=(3, 8, 32, 32), pool_kernel=17, pool_stride=16),
        dict(img_size=32, embed_dims=48),
        dict(in_channels=48),
    ),
    'swin3d_t': (
        dict(input_shape=(3, 8, 32, 32), pool_kernel=(2, 1, 1), pool_stride=2),
        dict(arch=SWIN),
        dict(in_channels=192),
    ),
    'mvit_s': (
        dict(input_shape=(3, 4, 32, 32), pool_kernel=2, pool_stride=1),
        dict(
            spatial_size=32,
            temporal_size=4,
            arch=dict(embed_dims=16, num_layers=16, num_heads=1, downscale_indices=[1, 3, 14]),
        ),
        dict(in_channels=128),
    ),
    'uniformer_s': (
        dict(input_shape=(3, 4, 32, 32), pool_kernel=1, pool_stride=1),
        dict(embed_dim=[16, 32, 32, 64], head_dim=16),
        dict(in_channels=64),
    ),
    'resnet18_in1k': (MAP_2D, {}, {}),
    'resnet18_cifar10': (dict(input_shape=(3, 16, 16), pool_kernel=2), {}, {}),
    'mobilenet_v2_in1k': (PARTS_2D, {}, {}),
    'efficientnet_b0_in1k': (PARTS_2D, {}, {}),
    'convnext_t_in1k': (
        dict(input_shape=(3, 64, 64), pool_kernel=1, pool_stride=1),
        dict(layer_scale_init_value=1.0, arch=dict(depths=[1, 1, 1, 3], channels=[8, 16, 24, 32])),
        dict(in_channels=32),
    ),
    'vit_b16_in1k': (
        dict(input_shape=(3, 32, 32), pool_kernel=3, pool_stride=2),
        dict(img_size=32, arch=dict(embed_dims=48, num_layers=12, num_heads=4, feedforward_channels=192)),
        dict(in_channels=48),
    ),
    'swin_t_in1k': (
        dict(input_shape=(3, 64, 64), pool_kernel=2, pool_stride=2),
        dict(img_size=64, window_size=2, arch=SWIN),
        dict(in_channels=192),
    ),
}


def load(name: str) -> Config:
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    init_default_scope(cfg.default_scope)
    return cfg


def tiny(name: str) -> Config:
    """The config on a network that is small enough, of which nothing is downloaded."""
    cfg = load(name)
    recurrent, network, head, *neck = TINY[name]
    backbone = cfg.model.backbone
    backbone.update({'alpha': 0.01, **recurrent})  # iterates of untrained networks differ visibly
    for key, value in network.items():
        if isinstance(value, dict) and key != 'arch':
            backbone.backbone[key].update(value)
        else:
            backbone.backbone[key] = value
    if 'pretrained' in backbone.backbone:
        backbone.backbone.pretrained = None
    cfg.model[head_of(cfg.model)].head.update(head)
    if neck:
        cfg.model.neck.neck.update(neck[0])
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return cfg


def head_of(model: dict) -> str:
    return 'cls_head' if 'cls_head' in model else 'head'


def plain(model: dict) -> dict:
    """The config of a model without what makes it recurrent."""
    head = head_of(model)
    parts = dict(backbone=model['backbone']['backbone'], head=model[head]['head'])
    if model.get('neck'):
        parts['neck'] = model['neck']['neck']
    parts[head] = parts.pop('head')
    return {**model, **parts}


def inputs(name: str, cfg: Config, clips: int, labels) -> dict:
    """What a data loader gives; frames of 2D recognizers stand where others have clips."""
    shape = cfg.model.backbone.input_shape[1:]
    frames = {'tsn_r50': 3, 'tsm_r50': 8}.get(name, 1)
    if name in VIDEOS:
        return batch(clips * frames, shape, labels)
    images = batch(1, shape, labels)['inputs']
    return dict(
        inputs=[image[0] for image in images], data_samples=[DataSample().set_gt_label(label) for label in labels]
    )


def stock(name: str) -> Config:
    """The stock config that a config names first."""
    bases = ast.literal_eval((FOLDER / f'{name}.py').read_text().split('_base_ = ')[1].split(']')[0] + ']')
    return get_config(bases[0])


def calibrate(model, data: dict) -> None:
    """Takes norm statistics from the data, without which the signal of an untrained network dies away."""
    norms = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(**model.data_preprocessor(data, True), mode='loss')
    for norm, momentum in norms.items():
        norm.momentum = momentum


def moderate(model, data: dict) -> None:
    """Scales the classifier so that its logits spread by 1; where they spread widely, softmax hides what differs."""
    head = model.cls_head if hasattr(model, 'cls_head') else model.head
    logits = []
    handle = head.register_forward_hook(lambda module, given, output: logits.append(output))
    model.eval()
    with torch.no_grad():
        model(**model.data_preprocessor(data, True), mode='loss')
        classifier = [module for module in head.modules() if isinstance(module, torch.nn.Linear)][-1]
        for parameter in classifier.parameters():
            parameter /= logits[-1].std(dim=1).mean()
    handle.remove()


def with_gradient(model) -> set:
    """Names of the parameters that get a gradient in what follows; the wrappers' names are left out."""
    names = set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            name = name.replace('wrapped.', '')
            parameter.register_post_accumulate_grad_hook(lambda p, name=name: names.add(name))
    return names


def test_each_config_is_tested():
    assert sorted(TINY) == CONFIGS


@pytest.mark.parametrize('name', CONFIGS)
def test_the_config_differs_from_the_stock_one_in_what_makes_it_recurrent(name):
    cfg, base = load(name), stock(name)
    assert {**plain(cfg.model), '_scope_': None} == {**base.model, '_scope_': None}
    assert cfg.model.backbone.num_iterations == 3
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.adapter.lr_mult == 1000
    for key in ('train_dataloader', 'train_cfg', 'test_dataloader', 'test_evaluator', 'load_from'):
        assert cfg[key] is not None, key
    crops = [step.crop_size for step in cfg.test_dataloader.dataset.pipeline if 'Crop' in step.type]
    assert all(crop == cfg.model.backbone.input_shape[-1] for crop in crops)


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_one_training_and_one_test_step(name):
    cfg = tiny(name)
    torch.manual_seed(0)
    alone, model = MODELS.build(plain(cfg.model)), MODELS.build(cfg.model)
    calibrate(alone, inputs(name, cfg, 1, range(8)))
    moderate(alone, inputs(name, cfg, 1, range(8)))

    # a checkpoint of the stock model is phase one
    missing, unexpected = model.load_state_dict(alone.state_dict(), strict=False)
    ((path, block),) = recurrent_blocks(model)
    path = path.replace('wrapped.', '')
    adapter = {f'{path}.adapter.linears.{i}.weight' for i in range(len(block.dynamic))}
    assert {key.replace('wrapped.', '') for key in missing} == adapter and not unexpected
    added = set(model.state_dict()) - set(alone.state_dict())
    assert set(alone.state_dict()) <= set(model.state_dict())
    assert adapter == {key for key in added if '.iterates.' not in key}

    # ten clips, or one image
    data = inputs(name, cfg, 10, (1,))
    alone.eval(), model.eval()
    with torch.no_grad():
        sample, expected = model.test_step(data)[0], alone.test_step(inputs(name, cfg, 10, (1,)))[0]
    if name in VIDEOS:
        clips = 1 if name == 'tsn_r50' else 10  # TSN averages over all frames before the head's output
        assert sample.iterate_clip_scores.shape == (3, clips, len(expected.pred_score))
        scores = sample.iterate_clip_scores.mean(dim=1)
    else:
        scores = sample.iterate_scores
    assert len(scores) == 3
    torch.testing.assert_close(scores[0], expected.pred_score, atol=1e-7, rtol=1e-4)
    assert not torch.equal(scores[0], scores[1]) and not torch.equal(scores[1], scores[2])
    metric = METRICS.build(cfg.test_evaluator)
    metric.process(None, [sample.to_dict()])
    assert any('iterate_3/' in key for key in metric.evaluate(1))

    # training
    frozen = {f'{path}.{layer}.weight' for layer in block.dynamic}
    gradients = [with_gradient(network.train()) for network in (alone, model)]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for network in (alone, model):
        torch.manual_seed(0)
        log = network.train_step(inputs(name, cfg, 1, (0, 1)), build_optim_wrapper(network, cfg.optim_wrapper))
        assert math.isfinite(log['loss'])
    assert gradients[1] == gradients[0] - frozen | adapter
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in frozen)
    assert not any(torch.equal(before[key], after[key]) for key in adapter)
    assert block.weight_change().min() > 0


@pytest.mark.parametrize('name', ['slowfast_r50', 'mvit_s', 'tpn_slowonly_r50'])
def test_max_testing_views_changes_nothing(name):
    cfg = tiny(name)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    scores = []
    for model.test_cfg in (None, dict(max_testing_views=4)):
        with torch.no_grad():
            scores.append(model.test_step(inputs(name, cfg, 10, (1,)))[0].iterate_clip_scores)
    torch.testing.assert_close(*scores)


def test_a_training_run_starts_from_a_stock_checkpoint(tmp_path, digits):
    cfg = tiny('slowonly_r50')
    alone = MODELS.build(plain(cfg.model))
    torch.save(dict(state_dict=alone.state_dict()), tmp_path / 'stock.pth')
    steps = [
        dict(type='DecordInit'),
        dict(type='SampleFrames', clip_len=8, frame_interval=2, num_clips=1),
        dict(type='DecordDecode'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    for split, loader in (('train', cfg.train_dataloader), ('val', cfg.val_dataloader)):
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.update(
            ann_file=str(digits / f'{split}.txt'), data_prefix=dict(video=str(digits / 'videos')), pipeline=steps
        )
    cfg.merge_from_dict(
        dict(
            work_dir=str(tmp_path / 'work'),
            load_from=str(tmp_path / 'stock.pth'),
            train_cfg=dict(max_epochs=1),
            experiment_name='any_network',
        )
    )
    runner = KaizenRunner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    assert 'val/acc/iterate_3/clip_top1' in scalars and scalars['train/iterate_3_ce'].current() > 0
    frozen = 'backbone.layer4.2.conv1.conv.weight'
    assert torch.equal(runner.model.state_dict()[frozen], alone.state_dict()[frozen])


def test_slowfast_gives_a_pair_of_maps_for_each_iterate():
    cfg = tiny('slowfast_r50')
    iterates = MODELS.build(cfg.model.backbone).eval()(torch.randn(2, *cfg.model.backbone.input_shape))
    assert [[tuple(y.shape) for y in pair] for pair in iterates] == [[(2, 1024, 1, 1, 1), (2, 128, 8, 1, 1)]] * 3
    assert not torch.equal(iterates[0][0], iterates[1][0]) and torch.equal(iterates[0][1], iterates[1][1])


@pytest.mark.parametrize('kind, depth', [('ResNet', 18), ('ResNet3d', 18), ('ResNetTSM', 50)])
def test_pretrained_weights_reach_the_recurrent_block(tmp_path, kind, depth):
    """They are loaded by the names of modules."""
    import torchvision

    init_default_scope('mmaction')
    path = str(tmp_path / 'resnet.pth')
    source = getattr(torchvision.models, f'resnet{depth}')()
    for norm in source.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.running_mean)
    torch.save(source.state_dict(), path)
    network = dict(type=kind, depth=depth, pretrained=path)
    alone = MODELS.build(dict(network))
    layer, shape = ('conv1.conv', (3, 32, 32)) if kind == 'ResNet' else ('conv1.conv.net', (3, 32, 32))
    if kind == 'ResNet3d':
        layer, shape = 'conv1.conv', (3, 8, 32, 32)
    recurrent = MODELS.build(
        dict(
            type='AdaptiveRecurrentBackbone',
            backbone=network,
            input_shape=shape,
            input_batch=8,
            block='layer4.1',
            dynamic=layer,
        )
    )
    alone.init_weights(), recurrent.init_weights()
    state = recurrent.state_dict()
    for key, value in alone.state_dict().items():
        assert torch.equal(state[key], value), key
    key = 'layer4.1.conv1.bn'
    assert torch.equal(state[f'{key}.iterates.running_mean'][0], state[f'{key}.running_mean'])
    assert state[f'{key}.running_mean'].abs().sum() > 0


def test_an_own_checkpoint_of_the_backbone_is_loaded_whole(tmp_path):
    init_default_scope('mmpretrain')
    config = dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='ResNet_CIFAR', depth=18),
        input_shape=(3, 16, 16),
        block='layer4.1',
        dynamic='conv1',
    )
    source, path = MODELS.build(config), tmp_path / 'backbone.pth'
    for buffer in source.buffers():
        buffer += 1
    torch.save(source.state_dict(), path)
    target = MODELS.build(dict(config, init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    target.init_weights()
    assert all(torch.equal(value, target.state_dict()[key]) for key, value in source.state_dict().items())


def test_windows_in_the_batch_have_the_weights_of_their_clip():
    cfg = tiny('swin3d_t')
    cfg.model.backbone.update(
        block='layers.2.blocks.5',
        dynamic='attn.qkv',
        input_shape=(3, 8, 128, 128),
        pool_kernel=1,
        pool_stride=(4, 7, 7),
        alpha=0.1,
        shared_rows=False,
        bound='tanh',
    )
    cfg.model.backbone.backbone.window_size = (2, 4, 4)
    torch.manual_seed(0)
    backbone = MODELS.build(cfg.model.backbone).eval()
    clips = torch.randn(2, *cfg.model.backbone.input_shape)
    with torch.no_grad():
        for both, first, second in zip(backbone(clips), backbone(clips[:1]), backbone(clips[1:])):
            torch.testing.assert_close(both, torch.cat([first, second]), rtol=1e-4, atol=1e-4)


IMAGE_BACKBONE = dict(
    type='AdaptiveRecurrentBackbone',
    backbone=dict(type='mmpretrain.ResNet', depth=18),
    input_shape=(3, 32, 32),
    block='layer4.1',
    dynamic='conv1',
)


@pytest.mark.parametrize('wrapped', [True, False])
def test_an_image_neck(wrapped):
    init_default_scope('mmpretrain')
    neck = dict(type='GlobalAveragePooling')
    recurrent = MODELS.build(dict(type='AdaptiveRecurrentNeck', neck=neck)) if wrapped else MODELS.build(neck)
    images = torch.randn(2, 3, 32, 32)
    iterates = MODELS.build(IMAGE_BACKBONE).eval()(images)
    if wrapped:  # an iterate is a tuple of stages, and stays one
        assert [tuple(y.shape for y in stages) for stages in recurrent(iterates)] == [((2, 512),)] * 2
        assert torch.equal(recurrent(iterates)[1][0], MODELS.build(neck)(iterates[1])[0])
    maps = tuple(stages[0] for stages in iterates)  # as MFNet2d gives them
    assert [y.shape for y in recurrent(maps)] == [(2, 512)] * 2
    if not wrapped:
        with pytest.raises(AttributeError, match='Put AdaptiveRecurrentNeck around the neck'):
            recurrent(iterates)


def test_a_neck_with_batch_norm_must_know_how_many_iterates_there_are():
    init_default_scope('mmpretrain')
    neck = dict(type='LinearNeck', in_channels=4, out_channels=4, gap_dim=0, norm_cfg=dict(type='BN1d'))
    iterates = [torch.randn(2, 4), torch.randn(2, 4)]
    recurrent = MODELS.build(dict(type='AdaptiveRecurrentNeck', neck=neck))
    assert len(recurrent(iterates[:1])) == 1
    with pytest.raises(
        ValueError, match='num_iterations must be given to AdaptiveRecurrentNeck: its LinearNeck.* 2 iterates'
    ):
        recurrent(iterates)
    recurrent = MODELS.build(dict(type='AdaptiveRecurrentNeck', neck=neck, num_iterations=2))
    recurrent(iterates)
    norm = recurrent.wrapped.norm
    assert not torch.equal(norm.running_mean, norm.iterates.running_mean[0])


def recognizer_2d(backbone, **kwargs):
    init_default_scope('mmaction')
    head = dict(type='TSNHead', num_classes=4, in_channels=512, dropout_ratio=0, average_clips='prob')
    return MODELS.build(
        dict(
            type='Recognizer2D',
            backbone=backbone,
            cls_head=dict(type='AdaptiveRecurrentHead', head=head),
            data_preprocessor=dict(type='ActionDataPreprocessor', format_shape='NCHW'),
            **kwargs,
        )
    ).eval()


@pytest.mark.parametrize(
    'network',
    [
        dict(type='mmpretrain.ResNet', depth=18),
        dict(type='mmpretrain.TIMMBackbone', model_name='resnet18', features_only=True),
    ],
)
def test_image_backbones_in_recognizers(network):
    prefix = 'timm_model.' if 'model_name' in network else ''
    if prefix:
        network = dict(network, out_indices=(4,))
    model = recognizer_2d({**IMAGE_BACKBONE, 'backbone': network, 'block': f'{prefix}layer4.1'})
    with torch.no_grad():
        (sample,) = model.test_step(batch(3, (32, 32), (1,)))
    assert sample.iterate_clip_scores.shape == (2, 1, 4)


def test_what_cannot_work_says_why():
    init_default_scope('mmaction')
    for kind in ('torchvision.resnet18', 'timm.resnet18'):
        with pytest.raises(ValueError, match='use mmpretrain.TIMMBackbone'):
            MODELS.build({**IMAGE_BACKBONE, 'backbone': dict(type=kind)})
    backbone = {
        **IMAGE_BACKBONE,
        'dynamic': 'conv1.conv',
        'backbone': dict(type='ResNet', depth=18, out_indices=(2, 3), pretrained=None),
    }
    neck = dict(
        type='AdaptiveRecurrentNeck',
        num_iterations=2,
        neck=dict(
            type='TPN',
            in_channels=(256, 512),
            out_channels=64,
            spatial_modulation_cfg=TPN['spatial_modulation_cfg'],
            temporal_modulation_cfg=dict(downsample_scales=(8, 8)),
            upsample_cfg=dict(scale_factor=(1, 1, 1)),
            downsample_cfg=dict(downsample_scale=(1, 1, 1)),
            level_fusion_cfg=dict(TPN['level_fusion_cfg'], downsample_scales=((1, 1, 1), (1, 1, 1))),
        ),
    )
    with pytest.raises(AttributeError, match='a Recognizer2D that has a neck'):
        recognizer_2d(backbone, neck=neck).test_step(batch(8, (32, 32), (1,)))
    backbone.update(backbone=dict(type='ResNetTSM', depth=18), dynamic='conv1.conv.net', input_batch=8)
    with pytest.raises(AttributeError, match='fcn_test in its test_cfg'):
        recognizer_2d(backbone, test_cfg=dict(fcn_test=True)).test_step(batch(8, (32, 32), (1,)))
