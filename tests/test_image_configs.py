"""Every config for images builds and takes one training step and one test step on tiny input."""

import copy
import math
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, METRICS, MODELS
from PIL import Image

from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from tests.conftest import configs
from tests.openmmlab.image.samples import samples

FOLDER = Path(__file__).resolve().parent.parent / 'configs'
ELSEWHERE = {'kaizen_resnet20_cifar10.py'}  # tests/models/test_cifar_resnet.py
LOADED = {name: cfg for name, cfg in configs('mmpretrain').items() if name not in ELSEWHERE}
CONFIGS = list(LOADED)
TWO_PHASES = [name for name, cfg in LOADED.items() if cfg.get('phase_one')]
# the plain network of each family, its parameters, those of the recurrent one, and the size of a tiny image; on one
# of 96 px the last map of MFNet-2D is as large as the kernel of h
FAMILIES = {
    'mnist': (880, 5_680, (1, 28, 28)),
    'mfnet2d_imagenet': (5_716_488, 5_879_688, (3, 96, 96)),
    'mfnet2d_tiny_imagenet': (288_808, 295_336, (3, 64, 64)),
    'timm_resnet18_tiny_imagenet': (11_186_772, 11_223_636, (3, 48, 48)),
    'resnet18_tiny_imagenet': (11_186_772, 11_223_636, (3, 48, 48)),
    'resnet18_photos': (11_186_772, 11_555_476, (3, 64, 64)),
    'bagnet_tiny_imagenet': (6_612, 8_420, (3, 32, 32)),
    'bagnet_cifar10': (6_282, 8_090, (3, 32, 32)),
    'resnet8_cifar10': (78_042, 120_986, (3, 32, 32)),
    'resnet8_half_cifar10': (19_954, 33_730, (3, 32, 32)),
}
# of other widths, or with another h
PARAMETERS = {
    'mnist_big.py': 5_685,
    'resnet8_cifar10_parameters.py': 121_390,
    'resnet8_cifar10_multiply_adds.py': 160_159,
    'resnet8_half_cifar10_parameters.py': 33_703,
    'resnet8_half_cifar10_multiply_adds.py': 43_543,
    'kaizen_resnet18_tiny_imagenet_k2_stages.py': 12_046_164,
    'kaizen_bagnet_cifar10_k2_paper.py': 7_306,
    'kaizen_bagnet_cifar10_k2_attention.py': 9_162,
    'kaizen_bagnet_cifar10_k2_film.py': 8_358,
    'kaizen_bagnet_cifar10_k2_one_pass.py': 7_306,
    'bagnet_cifar10_attention.py': 8_138,
    'bagnet_cifar10_squeeze_excitation.py': 8_166,
    'bagnet_cifar10_global_context.py': 8_154,
    'bagnet_cifar10_depthwise.py': 6_634,
    'bagnet_cifar10_one_pass.py': 7_306,
    'bagnet_cifar10_one_pass_global.py': 8_090,
}
# with another optimizer or another rate of h
OPTIMIZERS = (
    'kaizen_resnet18_tiny_imagenet_k3_rate01.py',
    'kaizen_resnet18_tiny_imagenet_k3_sgd.py',
    'kaizen_resnet18_tiny_imagenet_k2_stages.py',
)
# names of the frozen weights W_1
W_1 = (
    'backbone.fc1.wrapped.weight',
    'wrapped.conv_i1.conv.weight',
    'wrapped.conv_i2.conv.weight',
    'layer4.1.wrapped.conv1.weight',
    *(f'layer3.wrapped.layer3.{block}.conv{conv}.weight' for block in (0, 1) for conv in (1, 2)),
)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def load(name: str) -> Config:
    return copy.deepcopy(LOADED[name])


def family(name: str) -> str:
    return next(plain for plain in FAMILIES if plain in name)


def iterations(cfg: Config) -> int:
    return cfg.model.backbone.get('num_iterations', 1)


def batch(cfg: Config, name: str, count: int = 2) -> dict:
    generator = torch.Generator().manual_seed(0)
    size = FAMILIES[family(name)][2]
    if 'input_size' in cfg.model.backbone:
        cfg.model.backbone.input_size = size[1:]
    inputs = torch.randint(0, 256, (count, *size), dtype=torch.uint8, generator=generator)
    return dict(inputs=inputs, data_samples=samples(range(count)))


def test_the_rows_of_the_tables_are_there():
    assert {f'{plain}.py' for plain in FAMILIES} <= set(CONFIGS)
    assert {f'{kind}_mnist_k{k}.py' for kind in ('kaizen', 'recurrent') for k in (2, 3, 4)} <= set(CONFIGS)
    assert {f'kaizen_mfnet2d_imagenet_k{k}.py' for k in (2, 3, 4)} <= set(CONFIGS)
    for name in CONFIGS:
        named = re.search(r'_k(\d)', name)
        assert iterations(load(name)) == (int(named[1]) if named else 1)


@pytest.mark.parametrize('name', CONFIGS)
def test_parameter_counts(name):
    cfg = load(name)
    model = MODELS.build(cfg.model)
    plain, recurrent, _ = FAMILIES[family(name)]
    expected = PARAMETERS.get(name, recurrent if iterations(cfg) > 1 else plain)
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize('name', CONFIGS)
def test_one_training_and_one_test_step(name):
    torch.manual_seed(0)
    cfg = load(name)
    count, data = iterations(cfg), batch(cfg, name)
    model = MODELS.build(cfg.model)
    model.init_weights()
    for p in model.parameters():
        if not p.any():  # in a residual branch that starts at zero, nothing would move in the first step
            torch.nn.init.constant_(p, 0.5)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    model.train()
    before = {k: v.clone() for k, v in model.named_parameters()}
    log = model.train_step(data, optimizer)
    assert math.isfinite(float(log['loss']))
    assert log.keys() == {
        'loss',
        'top1_acc',
        *(f'iterate_{i}_criterion' for i in range(1, count + 1) if count > 1),
        *(f'iterate_{i}_top1_acc' for i in range(1, count)),
        *(f'iterate_{i}_worse' for i in range(2, count + 1)),
    }
    frozen = [key for key, value in model.named_parameters() if torch.equal(before[key], value)]
    freezes = count > 1 and cfg.model.backbone.get('freeze_dynamic', True)
    assert frozen == [key for key in before if freezes and key.endswith(W_1)]
    assert len(frozen) == ((4 if 'stages' in name else 2 if 'mfnet' in name else 1) if freezes else 0)
    model.eval()
    metric = METRICS.build(cfg.test_evaluator)
    with torch.no_grad():
        predictions = model.test_step(batch(cfg, name, count=3))
    metric.process(None, [sample.to_dict() for sample in predictions])
    values = metric.evaluate(3)
    ks = (1, 5) if 'imagenet' in name or 'photos' in name else (1,)
    prefixes = ['', *(f'iterate_{i}/' for i in range(1, count + 1) if count > 1)]
    assert values.keys() == {f'accuracy/{prefix}top{k}' for prefix in prefixes for k in ks}
    assert all(s.iterate_scores.sum(dim=1).tolist() == pytest.approx([1] * count, abs=1e-4) for s in predictions)


@pytest.mark.parametrize('name', TWO_PHASES)
def test_phase_one_of_a_two_phase_config_is_the_plain_config(name):
    one, plain = phase_one_config(load(name), 'somewhere'), load(f'{family(name)}.py')
    for key in (
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'train_dataloader',
        'val_dataloader',
        'test_dataloader',
        'val_evaluator',
        'test_evaluator',
        'auto_scale_lr',
        'randomness',
    ):
        assert one[key] == plain[key], key
    model, other = MODELS.build(one.model), MODELS.build(plain.model)
    assert all(block.num_iterations == 1 for _, block in recurrent_blocks(model))
    assert all(p.requires_grad for p in model.parameters())
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (model, other)]
    assert shapes[0] == shapes[1]
    # the loss over iterates aside, which is without effect on one, the rest of the model is the same
    for part in ('neck', 'data_preprocessor'):
        assert one.model.get(part) == plain.model.get(part)
    assert one.model.head.head == plain.model.head.head


@pytest.mark.parametrize('name', TWO_PHASES)
def test_control_and_recurrent_network_are_trained_alike(name):
    if family(name) in ('bagnet_cifar10', 'resnet8_half_cifar10'):
        return  # their controls are variants of the table
    cfg, control = load(name), load(f'{family(name)}_control.py')
    assert iterations(control) == 1
    for key in (
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
        'train_dataloader',
        'phase_one',
        'auto_scale_lr',
        'randomness',
    ):
        assert cfg[key] == control[key] or (key == 'optim_wrapper' and name in OPTIMIZERS), key


@pytest.mark.parametrize('name, size', [('mfnet2d_imagenet.py', 224), ('mfnet2d_tiny_imagenet.py', 64)])
@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader', 'test_dataloader'])
def test_pipelines_give_the_images_that_the_networks_take(name, size, loader, image_folders):
    dataset = load(name)[loader].dataset
    assert dataset.data_prefix == ('train' if loader == 'train_dataloader' else 'val')
    dataset.update(data_root=str(image_folders), num_classes=4)
    built = DATASETS.build(dataset)
    for index in (0, 4, len(built) - 1):  # of 64 x 64 and of larger ones
        assert built[index]['inputs'].shape == (3, size, size)
        assert built[index]['inputs'].dtype == torch.uint8
    one, two = (built[4]['inputs'] for _ in range(2))
    assert torch.equal(one, two) == (loader != 'train_dataloader'), 'training alone is random'


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """A thousand folders with one small image each, named as in ImageNet."""
    folder = tmp_path_factory.mktemp('data') / 'imagenet'
    for split in ('train', 'val'):
        for label in range(1000):
            path = folder / split / f'n{label:08d}' / f'n{label:08d}_1.JPEG'
            path.parent.mkdir(parents=True)
            if label == 0:
                Image.new('RGB', (50, 40), (200, 100, 50)).save(path)
            else:
                path.hardlink_to(folder / split / 'n00000000' / 'n00000000_1.JPEG')
    return folder.parent


def test_the_imagenet_config_reads_a_folder_laid_out_as_imagenet(imagenet, monkeypatch):
    monkeypatch.setenv('KAIZEN_DATA', str(imagenet))
    cfg = Config.fromfile(FOLDER / 'mfnet2d_imagenet.py')
    for key in ('train_dataloader', 'val_dataloader'):
        cfg[key].update(num_workers=0, batch_size=2)
        loader = Runner.build_dataloader(cfg[key], seed=0)
        data = next(iter(loader))
        assert len(loader) == 500 and data['inputs'].shape == (2, 3, 224, 224)
        labels = [int(sample.gt_label) for sample in data['data_samples']]
        assert labels != [0, 1] if key == 'train_dataloader' else labels == [0, 1]
    # the colour arrives as RGB, normalized
    values = MODELS.build(cfg.model.data_preprocessor)(data)['inputs'].mean(dim=(0, 2, 3))
    expected = [(c - m) / s for c, m, s in zip((200, 100, 50), (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))]
    assert values.tolist() == pytest.approx(expected, abs=0.05)
