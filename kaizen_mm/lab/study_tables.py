"""The tables of docs/when_it_helps_in_full.md, but MNIST's."""

from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.lab.table import Table, few, lasting

_CIFAR10_QUICK = few('max_images', 256, 100)
# looked for on the photos held out for choices: which adapter, which layers, which loss, how many iterations
_ON_VAL = {'test_dataloader.dataset.split': 'val'}
_LATE = [f'layer{stage}.0.conv{conv}' for stage in (2, 3) for conv in (1, 2)]


def _widths(*widths: int) -> dict:
    return {'model.backbone.backbone.widths': widths}


def _adapter(hidden: int, rank: int, **others) -> dict:
    return {f'model.backbone.{key}': value for key, value in dict(hidden=hidden, rank=rank, **others).items()}


_HALF, _HALF_K2 = 'resnet8_half_cifar10', 'kaizen_resnet8_half_cifar10_k2'
_SMALL, _SMALL_K2 = 'resnet8_half_cifar10_16px', 'kaizen_resnet8_half_cifar10_16px_k2'
_HALF_SCAN = {
    'static': (_HALF, {}),
    'static_24610': (_HALF, _widths(8, 18, 36)),
    'h4_r1': (_HALF_K2, _adapter(4, 1)),
    'h4_r1_alpha4': (_HALF_K2, _adapter(4, 1, alpha=4.0)),
}
_GAMMA1 = {'model.head.loss.gamma_first': 1.0}
_RATE2, _RATE4 = ({'optim_wrapper.optimizer.lr': rate} for rate in (0.2, 0.4))
_SMALL_SCAN = {
    'static': (_SMALL, {}),
    'static_24610': (_SMALL, _widths(8, 18, 36)),
    'h4_r1': (_SMALL_K2, _adapter(4, 1)),
    'late_h4_r2': (_SMALL_K2, _adapter(4, 2, block=['layer2', 'layer3'], dynamic=_LATE)),
    'h8_r2': (_SMALL_K2, _adapter(8, 2)),
    'h4_r1_gamma0.3': (_SMALL_K2, {**_adapter(4, 1), 'model.head.loss.gamma_first': 0.3}),
    'h4_r1_gamma1': (_SMALL_K2, {**_adapter(4, 1), **_GAMMA1}),
    'h8_r2_gamma1': (_SMALL_K2, {**_adapter(8, 2), **_GAMMA1}),
    'static_rate2': (_SMALL, _RATE2),
    'static_24610_rate2': (_SMALL, {**_widths(8, 18, 36), **_RATE2}),
    'static_26781_rate2': (_SMALL, {**_widths(9, 19, 37), **_RATE2}),
    'static_rate4': (_SMALL, _RATE4),
    'h8_r2_rate4': (_SMALL_K2, {**_adapter(8, 2), **_RATE4}),
}
# what was chosen, for the photos that no choice has seen: 1.59 M multiply-adds, and 1.60 M in the last row
_SMALL_CHOSEN = {
    'static': (_SMALL, _RATE4),
    'recurrent': (_SMALL_K2, {**_adapter(8, 2), **_RATE4}),
    'parameters': (_SMALL, {**_widths(9, 19, 37), **_RATE4}),
    'multiply_adds': (_SMALL, {**_widths(11, 23, 46), **_RATE4}),
}


# networks of a small receptive field; the static ones of as many parameters and of as many multiply-adds are wider
_BAG, _BAG_K2, _BAG_PAPER = 'bagnet_cifar10', 'kaizen_bagnet_cifar10_k2', 'kaizen_bagnet_cifar10_k2_paper'
_BAG_TINY, _BAG_TINY_K2 = 'bagnet_tiny_imagenet', 'kaizen_bagnet_tiny_imagenet_k2'
_BAG3D, _BAG3D_K2 = 'bagnet3d_moving_camera', 'kaizen_bagnet3d_moving_camera_k2'


def _bag(stem: int, *widths: int) -> dict:
    return {
        'model.backbone.backbone.stem': (stem, 4, 4),
        'model.backbone.backbone.widths': widths,
        'model.head.head.in_channels': widths[-1],
    }


def _bag3d(stem: int, *widths: int) -> dict:
    return {
        'model.backbone.backbone.stem': (stem, 5, 2),
        'model.backbone.backbone.widths': widths,
        'model.cls_head.head.in_channels': widths[-1],
    }


_BAG_CHOSEN = {
    'static': (_BAG, {}),
    'recurrent': (_BAG_K2, {}),
    'parameters': (_BAG, _bag(38, 38, 38)),
    'multiply_adds': (_BAG, _bag(42, 42, 42)),
}
_BAG_PAPER_CHOSEN = {
    'static': (_BAG, {}),
    'recurrent': (_BAG_PAPER, {}),
    'parameters': (_BAG, _bag(36, 36, 36)),
    'multiply_adds': (_BAG, _bag(47, 47, 47)),
}
_BAG3D_CHOSEN = {
    'static': (_BAG3D, {}),
    'recurrent': (_BAG3D_K2, {}),
    'parameters': (_BAG3D, _bag3d(18, 28, 36, 36)),
    'multiply_adds': (_BAG3D, _bag3d(22, 33, 44, 44)),
}

# each pair of a network and its static control: width, receptive field, number of photos (at as many steps)
_BAG_NETWORKS = {
    'photos_10000': {
        'train_dataloader.dataset.max_images': 10_000,
        **lasting(60),
    },
    'w16': _bag(16, 16, 16),
    'rf12': {'model.backbone.backbone.kernels': (3, 1)},
}
_BAG3D_NETWORKS = {
    'camera_0': {f'{loader}_dataloader.dataset.camera': 0.0 for loader in ('train', 'val', 'test')},
    'rf17': {'model.backbone.backbone.kernels': (1, 3, 3)},
    'rf25': {
        **_bag3d(16, 24, 32, 32, 32),
        'model.backbone.backbone.kernels': (1, 3, 3, 3),
        'model.backbone.backbone.strides': (1, 2, 1, 1),
        'model.backbone.block': [f'block{block}' for block in (1, 2, 3, 4)],
        'model.backbone.dynamic': [f'block{block}.conv{conv}' for block in (1, 2, 3, 4) for conv in (1, 2)],
    },
}
_W8 = _bag(8, 8, 8)
_BAG_QUARTER = {'static': (_BAG, _W8), 'recurrent': (_BAG_K2, _W8), 'parameters': (_BAG, _bag(12, 12, 12))}
# ten times the clips, each seen once
_BAG3D_CLIPS = {
    'static': (_BAG3D, lasting(1)),
    'recurrent': (_BAG3D_K2, lasting(1)),
    'parameters': (_BAG3D, {**_bag3d(18, 28, 36, 36), **lasting(1)}),
}
_BAG_TWO = 'kaizen_bagnet_cifar10_two_phases_k2'
_BAG_STATIC_TWO = {'model.backbone.num_iterations': 1, 'optim_wrapper.optimizer.lr': 0.1}
_SHORT = lasting(5)
_BAG_ADAPTERS = {
    'static': (_BAG, {}),
    'recurrent': (_BAG_K2, {}),
    'rows_shared': (_BAG_PAPER, {}),
    'h8_r2': (_BAG_K2, _adapter(8, 2)),
    'last_block': (_BAG_K2, {'model.backbone.block': 'block2', 'model.backbone.dynamic': ['conv1', 'conv2']}),
}
_BAG_LOSSES = {
    'static': (_BAG, {}),
    'recurrent': (_BAG_K2, {}),
    'k3': (_BAG_K2, {'model.backbone.num_iterations': 3}),
    'gamma_0.3': (_BAG_K2, {'model.head.loss.gamma_first': 0.3}),
    'gamma_0.003': (_BAG_K2, {'model.head.loss.gamma_first': 0.003}),
    'no_kaizen_loss': (_BAG_K2, {'model.head.loss.kaizen_weight': 0.0}),
}
_BAG_PHASES = {
    'static': (_BAG, {}),
    'recurrent': (_BAG_K2, {}),
    'control': (_BAG_TWO, _BAG_STATIC_TWO),
    'two_phases': (_BAG_TWO, {}),
    'two_phases_w1_frozen': (_BAG_TWO, {'model.backbone.freeze_dynamic': True}),
    'control_short': (_BAG_TWO, {**_BAG_STATIC_TWO, **_SHORT}),
    'two_phases_short': (_BAG_TWO, _SHORT),
}


def _pairs(static: str, recurrent: str, networks: dict) -> dict:
    """``static``, ``recurrent``, and for each change of the network ``static_NAME`` and ``NAME``."""
    rows = {'static': (static, {}), 'recurrent': (recurrent, {})}
    for name, options in networks.items():
        rows.update({f'static_{name}': (static, options), name: (recurrent, options)})
    return rows


PHOTOS = dict(measure=MEASURES['top1'], quick=_CIFAR10_QUICK)
CLIPS = dict(measure=MEASURES['video_top1'], quick=few('max_clips', 64, 24))


def beside_static(title: str, phase_one: str, variants: dict, **others) -> Table:
    """A table of variants of configs, with the differences to its row ``static``."""
    return Table(title, phase_one, dict.fromkeys(variants), control='static', variants=variants, **others)


def _with(variants: dict, changes: dict) -> dict:
    return {name: (config, {**options, **changes}) for name, (config, options) in variants.items()}


def scan(title: str, phase_one: str, variants: dict, **others) -> Table:
    """The same on the photos held out for choices."""
    title = f'{title}, photos held out for choices'
    return beside_static(title, phase_one, _with(variants, _ON_VAL), **PHOTOS, **others)


STUDY_TABLES = {
    'cifar10_half_from_start': Table(
        title='ResNet-8 of half the width, CIFAR-10, from the start',
        phase_one='resnet8_half_cifar10',
        rows=dict.fromkeys(
            [
                'resnet8_half_cifar10',
                'kaizen_resnet8_half_cifar10_k2',
                'resnet8_half_cifar10_parameters',
                'resnet8_half_cifar10_multiply_adds',
            ]
        ),
        measure=MEASURES['top1'],
        quick=_CIFAR10_QUICK,
        control='resnet8_half_cifar10',
    ),
    'cifar10_half_scan': scan('ResNet-8 of half the width, CIFAR-10', _HALF, _HALF_SCAN),
    'cifar10_16px_scan': scan('ResNet-8 of half the width, CIFAR-10 at 16 px', _SMALL, _SMALL_SCAN),
    'cifar10_16px': beside_static(
        'ResNet-8 of half the width, CIFAR-10 at 16 px', _SMALL, _SMALL_CHOSEN, rival='parameters', **PHOTOS
    ),
    'bagnet_cifar10_networks': scan(
        'BagNet, CIFAR-10',
        'static',
        _pairs(_BAG, _BAG_K2, _BAG_NETWORKS),
        controls={name: f'static_{name}' for name in _BAG_NETWORKS},
    ),
    'bagnet_cifar10_adapters': scan('BagNet, CIFAR-10', 'static', _BAG_ADAPTERS),
    'bagnet_cifar10_losses': scan('BagNet, CIFAR-10', 'static', _BAG_LOSSES),
    'bagnet_cifar10_phases': scan(
        'BagNet, CIFAR-10',
        'static',
        _BAG_PHASES,
        controls={
            'two_phases': 'control',
            'two_phases_w1_frozen': 'control',
            'two_phases_short': 'control_short',
        },
    ),
    'bagnet_cifar10_quarter': scan(
        'BagNet of a quarter of the width, CIFAR-10', 'static', _BAG_QUARTER, rival='parameters'
    ),
    'bagnet3d_clips_40000': beside_static(
        'BagNet-3D, 40,000 clips of moving digits, clips held out for choices',
        'static',
        _with(_BAG3D_CLIPS, {'train_dataloader.dataset.num_train': 40_000, 'test_dataloader.dataset.seed': 0}),
        rival='parameters',
        **CLIPS,
    ),
    'bagnet3d_networks': beside_static(
        'BagNet-3D, moving digits, clips held out for choices',
        'static',
        _with(_pairs(_BAG3D, _BAG3D_K2, _BAG3D_NETWORKS), {'test_dataloader.dataset.seed': 0}),
        controls={name: f'static_{name}' for name in _BAG3D_NETWORKS},
        **CLIPS,
    ),
    'bagnet_cifar10': beside_static('BagNet, CIFAR-10', _BAG, _BAG_CHOSEN, rival='parameters', **PHOTOS),
    'bagnet_cifar10_paper': beside_static(
        "BagNet with the paper's h, CIFAR-10", _BAG, _BAG_PAPER_CHOSEN, rival='parameters', **PHOTOS
    ),
    'bagnet_tiny_imagenet': beside_static(
        'BagNet, 20 classes of Tiny ImageNet',
        _BAG_TINY,
        {
            'static': (_BAG_TINY, {}),
            'recurrent': (_BAG_TINY_K2, {}),
            'parameters': (_BAG_TINY, _bag(38, 38, 38)),
        },
        rival='parameters',
        measure=MEASURES['top1'],
        quick=few('indices', 256, 100),
    ),
    'bagnet3d_moving_camera': beside_static(
        'BagNet-3D, moving digits seen by a moving camera', _BAG3D, _BAG3D_CHOSEN, rival='parameters', **CLIPS
    ),
}
