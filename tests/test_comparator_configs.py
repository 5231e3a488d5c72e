"""Every config of configs/comparators builds and takes one training and one test step on tiny input."""

import copy
import functools
import math
from pathlib import Path

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, METRICS, MODELS, init_default_scope

from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from tests.openmmlab.image import samples as images
from tests.openmmlab.samples import batch as clips

FOLDER = Path(__file__).resolve().parent.parent / 'configs' / 'comparators'
CONFIGS = sorted(p.stem for p in FOLDER.glob('*.py'))
IMAGE_NETWORKS = {  # parameters with 1000 classes, and published ones in millions
    'resnet18': (11_689_512, 12),
    'resnet152': (60_192_808, 60),
    'googlenet': (6_624_904, 7),
    'shufflenet_2x': (5_450_776, 5.6),
    'mobilenet_1': (4_231_976, 4.2),
    'squeezenet': (1_235_496, 1.3),
    'sharesnet34': (13_613_864, 14),
    'conv_rnn': (15_591_208, 15.5),
    'iamnn_1': (4_863_976, 4.8),
    'iamnn': (4_953_836, 5),
    'cornet_s': (53_416_616, 53.416616),
    'cornet_z': (2_071_656, None),
    'cornet_rt': (5_208_936, None),
    'feedback_net': (31_569_448, None),
}
VIDEO_NETWORKS = {  # parameters with 101 classes
    'resnet18_3d': 33_255_717,
    'res3d': 33_218_085,
    'stc_resnet101': 104_497_893,
    'ltc': 10_629_221,
}
ITERATES = {'cornet_s': 2, 'cornet_rt': 2, 'iamnn': 3, 'feedback_net': 4, 'conv_rnn': 7}
TINY_ITERATES = {**ITERATES, 'feedback_net': 3, 'conv_rnn': 3, 'kaizen_mfnet2d': 3}
# what makes a network of the full width cheap: of the backbone, and the features that it then gives
TINY = {
    'resnet18_3d': (dict(base_channels=4), 32),
    'res3d': (dict(base_channels=4), 32),
    'stc_resnet101': (dict(base_channels=4), 128),
    'ltc': (dict(input_size=(16, 32, 32), width=0.0625, hidden=16), 16),
}


@functools.cache
def read(name: str) -> Config:
    return Config.fromfile(FOLDER / f'{name}.py')


def load(name: str) -> Config:
    cfg = copy.deepcopy(read(name))
    init_default_scope(cfg.default_scope)
    return cfg


def network(name: str) -> str:
    name = name.removeprefix('kaizen_') if 'mfnet' not in name else name
    for end in (
        '_tiny_imagenet_control',
        '_tiny_imagenet_k3',
        '_tiny_imagenet',
        '_imagenet',
        '_ucf101',
        '_hmdb51',
        '_list',
    ):
        name = name.removesuffix(end)
    return name


def parameters(cfg: Config) -> int:
    # mmpretrain's ResNet looks at values while it is built
    with torch.device('cpu' if cfg.model.backbone.type == 'ResNet' else 'meta'):
        return sum(p.numel() for p in MODELS.build(cfg.model).parameters())


def test_every_network_has_its_configs():
    expected = {f'{name}_{data}' for name in IMAGE_NETWORKS for data in ('imagenet', 'tiny_imagenet')}
    expected |= {f'{name}_{data}' for name in VIDEO_NETWORKS for data in ('ucf101', 'hmdb51', 'list')}
    expected |= {f'kaizen_{name}_tiny_imagenet' for name in ('cornet_s', 'iamnn', 'feedback_net', 'conv_rnn')}
    expected |= {'mfnet2d_tiny_imagenet', 'mfnet2d_tiny_imagenet_control', 'kaizen_mfnet2d_tiny_imagenet_k3'}
    assert set(CONFIGS) == expected


@pytest.mark.parametrize('name', CONFIGS)
def test_a_leaf_is_short_and_says_what_it_is(name):
    lines = (FOLDER / f'{name}.py').read_text().splitlines()
    assert len(lines) < 15 and lines[0].startswith('# ') and max(map(len, lines)) <= 120


@pytest.mark.parametrize('name', IMAGE_NETWORKS)
def test_parameters_of_image_networks(name):
    count, published = IMAGE_NETWORKS[name]
    assert parameters(load(f'{name}_imagenet')) == count
    if published is not None:  # 12, 14 and 7 M are rounded up by the paper
        assert count / 1e6 == pytest.approx(published, rel=0.06)


@pytest.mark.parametrize('name', VIDEO_NETWORKS)
def test_parameters_of_video_networks(name):
    assert parameters(load(f'{name}_ucf101')) == VIDEO_NETWORKS[name]
    features = load(f'{name}_ucf101').model.cls_head.head.in_channels
    assert parameters(load(f'{name}_hmdb51')) == VIDEO_NETWORKS[name] - 50 * (features + 1)


def test_res3d_is_that_of_torchvision():
    with torch.device('meta'):
        published = torchvision.models.video.r3d_18(num_classes=101)
        ours = MODELS.build(load('res3d_ucf101').model)
    shapes = [sorted(tuple(p.shape) for p in net.parameters()) for net in (published, ours)]
    assert shapes[0] == shapes[1]


def tiny(name: str) -> Config:
    """The config on a network that is small enough; those for small images are already."""
    cfg = load(name)
    if network(name) in TINY:
        options, features = TINY[network(name)]
        cfg.model.backbone.update(options)
        cfg.model.cls_head.head.in_channels = features
    return cfg


@pytest.mark.parametrize(
    'name', [name for name in CONFIGS if not name.endswith('_imagenet') or name.endswith('tiny_imagenet')]
)
def test_one_training_and_one_test_step(name):
    take_steps(tiny(name), TINY_ITERATES.get(network(name), 1))


@pytest.mark.parametrize('name', IMAGE_NETWORKS)
def test_one_training_and_one_test_step_on_imagenet(name):
    cfg, small = load(f'{name}_imagenet'), load(f'{name}_tiny_imagenet')
    if name in ITERATES or name in ('cornet_z', 'sharesnet34', 'iamnn_1'):
        cfg.model.backbone.width = 0.125
        factor = 8 if name != 'cornet_rt' else 2  # its groups of 32 set a limit
    elif name == 'shufflenet_2x':
        cfg.model.backbone.widen_factor, factor = 0.5, 4
    else:
        cfg.model.backbone, factor = small.model.backbone, 4
    cfg.model.head.head.in_channels //= factor
    if name == 'cornet_rt':
        cfg.model.head.head.in_channels = 64
    take_steps(cfg, ITERATES.get(name, 1))


def take_steps(cfg: Config, iterates: int) -> None:
    torch.manual_seed(0)
    video = cfg.default_scope == 'mmaction'
    size = cfg.model.backbone.get('input_size', (16, 32, 32) if video else (32, 32))

    def data(count, samples=2):
        if video:
            return clips(count, size, range(samples))
        inputs = torch.randint(0, 256, (samples, 3, *size), dtype=torch.uint8)
        return dict(inputs=inputs, data_samples=images.samples(range(samples)))

    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    reached = set()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(
                lambda p, key=key: reached.add(key) if torch.isfinite(p.grad).all() else None
            )
    log = model.train_step(data(1), build_optim_wrapper(model, cfg.optim_wrapper))
    assert math.isfinite(float(log['loss']))
    assert len([key for key in log if key.startswith('iterate_') and key.endswith('_criterion')]) == (
        iterates if iterates > 1 else 0
    )
    frozen = {key for key, _ in model.named_parameters()} - reached
    assert len(frozen) == (2 if cfg.model.backbone.type == 'RecurrentMFNet2d' and iterates > 1 else 0), frozen
    model.eval()
    metric = METRICS.build(cfg.test_evaluator)
    with torch.no_grad():
        predictions = model.test_step(data(2))
    metric.process(None, [sample.to_dict() for sample in predictions])
    values = metric.evaluate(2)
    prefix = 'acc/' if video else 'accuracy/'
    assert sum(key.startswith(f'{prefix}iterate_') and key.endswith('top1') for key in values) == (
        iterates if iterates > 1 else 0
    )
    assert all(float(sample.pred_score.sum()) == pytest.approx(1, abs=1e-4) for sample in predictions)


def test_phase_one_and_control_of_the_comparison_are_trained_as_ours():
    ours, control, plain = (
        load(name)
        for name in ('kaizen_mfnet2d_tiny_imagenet_k3', 'mfnet2d_tiny_imagenet_control', 'mfnet2d_tiny_imagenet')
    )
    one = phase_one_config(ours, 'somewhere')
    for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'train_dataloader', 'test_dataloader'):
        assert one[key] == plain[key], key
        assert ours[key] == control[key], key
    assert control.model.backbone.num_iterations == 1


@pytest.mark.parametrize('name', [name for name in CONFIGS if name.endswith('tiny_imagenet')])
def test_all_see_the_same_data_for_the_same_epochs(name):
    cfg, reference = load(name), load('kaizen_mfnet2d_tiny_imagenet_k3')
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'test_evaluator'):
        assert cfg[key] == reference[key], key
    epochs = reference.train_cfg.max_epochs + reference.phase_one.train_cfg.max_epochs
    assert cfg.train_cfg.max_epochs == (
        reference.phase_one.train_cfg.max_epochs if name.startswith('mfnet2d') else epochs
    )


@pytest.mark.parametrize('name', ['cornet_s', 'iamnn', 'feedback_net', 'conv_rnn'])
def test_the_kaizen_loss_is_all_that_differs(name):
    plain, kaizen = load(f'{name}_tiny_imagenet'), load(f'kaizen_{name}_tiny_imagenet')
    assert plain.model.head.loss.kaizen_weight == 0 and kaizen.model.head.loss == dict(type='KaizenLoss')
    plain.model.head.loss = kaizen.model.head.loss
    assert plain.model == kaizen.model and plain.optim_wrapper == kaizen.optim_wrapper


@pytest.mark.parametrize(
    'name, shape',
    [('stc_resnet101_hmdb51', (3, 16, 112, 112)), ('ltc_ucf101', (3, 60, 58, 58)), ('ltc_list', (3, 60, 58, 58))],
)
def test_pipelines_give_the_clips_that_the_networks_take(name, shape, digits):
    cfg = load(name)
    classes = 51 if 'hmdb51' in name else 101
    for loader, split, count in (('train', 'train', 1), ('val', 'val', 1), ('test', 'val', 10)):
        dataset = cfg[f'{loader}_dataloader'].dataset
        if 'list' not in name:
            assert dataset.num_classes == classes and ('hmdb51' if 'hmdb51' in name else 'ucf101') in dataset.ann_file
        dataset.update(
            ann_file=str(digits / f'{split}.txt'), data_prefix=dict(video=str(digits / 'videos')), num_classes=8
        )
        assert DATASETS.build(dataset)[0]['inputs'].shape == (count, *shape)
