"""Every public argument of layers, losses, models, timm's names and registry classes, with values of every wrong
kind."""

import math
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import timm
import torch
from mmaction.registry import DATASETS as VIDEO_DATASETS
from mmaction.registry import METRICS as VIDEO_METRICS
from mmaction.registry import MODELS as VIDEO_MODELS
from mmaction.registry import TRANSFORMS as VIDEO_TRANSFORMS
from mmengine.config import Config
from mmengine.registry import HOOKS, DefaultScope
from mmpretrain.registry import METRICS as IMAGE_METRICS
from mmpretrain.registry import MODELS as IMAGE_MODELS
from torch import nn

from kaizen_mm.config_files import config_path
from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate, build_adapter
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import BagNet, CifarResNet, MFNet, MnistCNN, MnistCNNBig, RecurrentNetwork
from kaizen_mm.models.comparators import CORnetZ
from kaizen_mm.models.contexts import DepthwiseContext, PositionAttention
from kaizen_mm.surgery.input_adapted import InputAdaptedNetwork
from tests.faults.case import Case

NAN, INF, HUGE = math.nan, math.inf, 10**12
NOTHING, SOMETHING = [None], ['x', 1.5, NAN, INF, {}, object]
# wrong values, by what an argument is
KINDS: Dict[str, list] = {
    'count': [*NOTHING, *SOMETHING, True, 0, -1, [1], '3'],
    'count or None': [*SOMETHING, True, 0, -1, [1], '3'],
    'iterations': [*NOTHING, *SOMETHING, True, 0, -1, [1], '3', HUGE, 1001],
    'iterations or None': [*SOMETHING, True, 0, -1, [1], '3', HUGE],
    'count or 0': [*NOTHING, *SOMETHING, True, -1, [1], '3'],
    'number': [*NOTHING, 'x', NAN, INF, {}, object, True, -1, -0.1, [1], '0.1'],
    'number or None': ['x', NAN, INF, {}, object, True, -1, -0.1, [1], '0.1'],
    'share': [*NOTHING, 'x', NAN, INF, {}, object, True, -1, 1.5, [1], '0.1'],
    'numbers or None': ['x', 0.1, 1, NAN, {}, object, True, [-1], [NAN], [INF], ['x'], [[1]]],
    'flag': [*NOTHING, *SOMETHING, 0, 1, 'True', [True]],
    'choice': [*NOTHING, *SOMETHING, True, 0, ['x']],
    'choice or None': [*SOMETHING, True, 0, ['x']],
    'name': [*NOTHING, 1.5, NAN, {}, object, True, 0, ['x'], 'no_such_part'],
    'names': [*NOTHING, 1.5, NAN, {}, object, True, 0, [], [1], ['no_such_part'], 'no_such_part', ['conv1', 'conv1']],
    'sizes': [*NOTHING, *SOMETHING, True, 0, -1, [1], [1, 1, 1], [1, 1.5], [0, 1], '33', HUGE**3],
    'sizes or None': [*SOMETHING, True, 0, -1, [1], [1, 1, 1], [1, 1.5], [0, 1], '33', HUGE],
    'paddings': [*NOTHING, *SOMETHING, True, -1, [1], [1, 1, 1], [1, 1.5], '33', HUGE],
    'shape': [*NOTHING, *SOMETHING, True, 3, [], [4, 0], [4, -1], [4, 1.5], [4, '3'], [NAN]],
    'size or None': [*SOMETHING, True, 0, -1, [32], [32, 32, 32], [32, 1.5], [0, 32], '64'],
    'four counts': [*NOTHING, *SOMETHING, True, 4, [1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1.5], ['1'] * 4],
    'shapes by name': [*NOTHING, *SOMETHING, {}, [4, 4], {'conv1': 4}, {'conv1': [4, 0]}, {'conv1': ['4']}],
    'odd': [*NOTHING, *SOMETHING, True, 0, -1, 2, [1], '3'],
    'contexts': [*NOTHING, *SOMETHING, True, 2, [None], ['x', None], [None, nn.Identity], [None] * 3],
    'ks': [*NOTHING, *SOMETHING, True, 1, [], [0], [1.5], ['1'], [True]],
}


def _block() -> nn.Module:
    block = nn.Sequential()
    block.add_module('conv1', nn.Conv2d(4, 4, 3, padding=1))
    block.add_module('conv2', nn.Conv2d(4, 4, 3, padding=1))
    return block


def _network(**options):
    network = nn.Sequential()
    network.add_module('stem', nn.Conv2d(3, 4, 1))
    network.add_module('block', _block())
    return RecurrentNetwork(
        network, **{'block': 'block', 'example_input': torch.zeros(1, 3, 8, 8), 'dynamic': 'conv1', **options}
    )


def _adapter(**options):
    return build_adapter(**{'feedback_shape': (4, 8, 8), 'weight_shapes': {'conv1': (4, 4, 3, 3)}, **options})


def _recurrent_block(**options):
    return AdaptiveRecurrentBlock(_block(), **{'dynamic': 'conv1', 'feedback_shape': (4, 8, 8), **options})


def _mfnet(**options):
    return MFNet(
        **{
            'dims': 2,
            'widths': (8, 16, 16, 16),
            'units': (1, 1, 1, 1),
            'groups': 4,
            'num_classes': 2,
            'input_size': (32, 32),
            **options,
        }
    )


def _recurrent_mfnet(**options):
    return _mfnet(**{'num_iterations': 2, 'pool_padding': 1, **options})


def _input_adapted(**options):
    return InputAdaptedNetwork(_block(), **{'example_input': torch.zeros(1, 4, 8, 8), 'dynamic': 'conv1', **options})


def _timm(**options):
    return timm.create_model('kaizen_mfnet2d_n9', **{'num_classes': 2, 'img_size': 32, 'pool_padding': 1, **options})


def _built(registry, kind: str, **options):
    return registry.build(dict(type=kind, **options))


def _backbone(**options):
    return _built(
        IMAGE_MODELS,
        'AdaptiveRecurrentBackbone',
        **{
            'backbone': dict(type='mmpretrain.LeNet5'),
            'block': 'features',
            'dynamic': '0',
            'input_shape': (1, 32, 32),
            'num_iterations': 2,
            **options,
        },
    )


def _list_dataset(**options):
    Path('a.mp4').write_bytes(b'')
    Path('list.txt').write_text('a.mp4 0\na.mp4 0\n')
    return _built(
        VIDEO_DATASETS,
        'VideoListDataset',
        **{'ann_file': 'list.txt', 'data_prefix': dict(video='.'), 'pipeline': [], 'allow_one_class': True, **options},
    )


def _digits(**options):
    sizes = dict(split='train', num_train=4, num_val=1, num_frames=4, size=32)
    return _built(VIDEO_DATASETS, 'MovingDigitsInMemory', **{**sizes, **options})


def _chained_recognizer(**options):
    with DefaultScope.overwrite_default_scope('mmaction'):  # its parts are named without their library
        config = Config.fromfile(config_path('kaizen_bagnet3d_moving_camera_k2_chain.py'))
        return VIDEO_MODELS.build({**config.model, **options})


_IMAGE_HEAD = dict(type='LinearClsHead', num_classes=2, in_channels=4)
_NECK = dict(type='mmpretrain.GlobalAveragePooling')
_VIDEO_HEAD = dict(type='TSNHead', num_classes=2, in_channels=4)
_ADAPTER = {
    'alpha': 'number or None',
    'pool_kernel': 'sizes or None',
    'feedback_layout': 'choice',
    'shared_rows': 'flag',
    'row_layout': 'choice',
    'bias': 'flag',
    'bound': 'choice or None',
    'adapter': 'choice',
}
_RECURRENCE = {'num_iterations': 'iterations', 'norm_statistics': 'choice', 'freeze_dynamic': 'flag'}

# what takes them, and the kinds of its arguments
TARGETS: List[Tuple[str, Callable[..., Any], Dict[str, str]]] = [
    (
        'KaizenLoss',
        KaizenLoss,
        {
            'gamma_first': 'number',
            'gamma_others': 'number',
            'gammas': 'numbers or None',
            'kaizen_weight': 'number',
            'label_smoothing': 'share',
            'class_weight': 'numbers or None',
            'hinge': 'choice',
        },
    ),
    ('build_adapter', _adapter, {**_ADAPTER, 'feedback_shape': 'shape', 'weight_shapes': 'shapes by name'}),
    ('build_adapter, pooling', partial(_adapter, pool_kernel=2), {'pool_stride': 'sizes', 'pool_padding': 'paddings'}),
    (
        'build_adapter, global',
        partial(_adapter, adapter='global'),
        {'hidden': 'count or None', 'rank': 'count or None'},
    ),
    (
        'AdaptiveRecurrentBlock',
        _recurrent_block,
        {**_RECURRENCE, **_ADAPTER, 'dynamic': 'names', 'feedback': 'name', 'feedback_shape': 'shape'},
    ),
    (
        'PerIterate',
        lambda **o: PerIterate(nn.BatchNorm2d(4), **{'num_iterations': 2, **o}),
        {'num_iterations': 'iterations or None', 'norm_statistics': 'choice'},
    ),
    (
        'RecurrentNetwork',
        _network,
        {**_RECURRENCE, **_ADAPTER, 'block': 'name', 'dynamic': 'names', 'feedback': 'name'},
    ),
    (
        'MFNet',
        _mfnet,
        {
            'dims': 'count',
            'widths': 'four counts',
            'units': 'four counts',
            'groups': 'count',
            'num_classes': 'count or 0',
            'in_chans': 'count',
            'global_pool': 'choice',
            'drop_rate': 'share',
            'num_iterations': 'iterations or None',
            'input_size': 'size or None',
            'freeze_dynamic': 'flag',
            'norm_statistics': 'choice',
        },
    ),
    (
        'MFNet, recurrent',
        _recurrent_mfnet,
        {**_RECURRENCE, 'num_iterations': 'iterations or None', 'alpha': 'number or None'},
    ),
    ('MnistCNN', MnistCNN, {'num_classes': 'count', 'num_iterations': 'iterations or None'}),
    ('MnistCNN, recurrent', partial(MnistCNN, num_iterations=2), {'alpha': 'number or None', 'shared_rows': 'flag'}),
    ('MnistCNNBig', MnistCNNBig, {'num_classes': 'count'}),
    ('BagNet', BagNet, {'in_chans': 'count', 'num_classes': 'count or 0', 'contexts': 'contexts'}),
    (
        'PositionAttention',
        partial(PositionAttention, channels=4, size=(2, 3), width=2),
        {'channels': 'count', 'size': 'shape', 'width': 'count'},
    ),
    ('DepthwiseContext', partial(DepthwiseContext, dims=2, channels=4), {'channels': 'count', 'kernel': 'odd'}),
    ('InputAdaptedNetwork', _input_adapted, {**_ADAPTER, 'dynamic': 'names'}),
    (
        'CifarResNet',
        CifarResNet,
        {'depth': 'count', 'num_classes': 'count', 'drop_rate': 'share', 'shortcut': 'choice'},
    ),
    (
        'timm: kaizen_mfnet2d_n9',
        _timm,
        {
            'num_classes': 'count or 0',
            'in_chans': 'count',
            'drop_rate': 'share',
            'num_iterations': 'iterations or None',
            'img_size': 'size or None',
            'freeze_dynamic': 'flag',
            'alpha': 'number or None',
            'norm_statistics': 'choice',
        },
    ),
    (
        'timm: cornet_z of maps',
        lambda **o: timm.create_model('cornet_z', **{'width': 0.125, 'features_only': True, **o}),
        {'feature_cls': 'choice'},
    ),
    (
        'reset_classifier',
        lambda **o: _mfnet().reset_classifier(**{'num_classes': 2, **o}),
        {'num_classes': 'count or 0', 'global_pool': 'choice or None'},
    ),
    (
        'forward_intermediates',
        lambda **o: _mfnet().eval().forward_intermediates(torch.zeros(1, 3, 32, 32), **o),
        {'output_fmt': 'choice', 'norm': 'flag', 'stop_early': 'flag', 'intermediates_only': 'flag'},
    ),
    (
        'forward_intermediates of CORnet-Z',
        lambda **o: CORnetZ(width=0.125).eval().forward_intermediates(torch.zeros(1, 3, 32, 32), **o),
        {'output_fmt': 'choice', 'norm': 'flag', 'stop_early': 'flag', 'intermediates_only': 'flag'},
    ),
    (
        'MFNet2d',
        partial(_built, IMAGE_MODELS, 'MFNet2d', variant='mfnet2d_n9'),
        {'variant': 'choice', 'channels_last': 'flag'},
    ),
    (
        'RecurrentMFNet2d',
        partial(_built, IMAGE_MODELS, 'RecurrentMFNet2d', variant='mfnet2d_n9', num_iterations=2),
        {'num_iterations': 'iterations', 'input_size': 'size or None'},
    ),
    (
        'MFNet3d',
        partial(_built, VIDEO_MODELS, 'MFNet3d', variant='mfnet3d_n9'),
        {'variant': 'choice', 'channels_last': 'flag', 'pretrained2d': 'flag'},
    ),
    ('MnistCNN backbone', partial(_built, IMAGE_MODELS, 'MnistCNN'), {'num_iterations': 'iterations or None'}),
    (
        'AdaptiveRecurrentBackbone',
        _backbone,
        {
            'input_shape': 'shape',
            'input_batch': 'count',
            'last_iterate': 'flag',
            'num_iterations': 'iterations',
            'block': 'name',
            'alpha': 'number or None',
        },
    ),
    (
        'AdaptiveRecurrentNeck',
        partial(_built, IMAGE_MODELS, 'AdaptiveRecurrentNeck', neck=_NECK),
        {'num_iterations': 'iterations or None', 'norm_statistics': 'choice'},
    ),
    (
        'AdaptiveRecurrentClsHead',
        partial(_built, IMAGE_MODELS, 'AdaptiveRecurrentClsHead', head=_IMAGE_HEAD),
        {'num_iterations': 'iterations or None'},
    ),
    (
        'AdaptiveRecurrentHead',
        partial(_built, VIDEO_MODELS, 'AdaptiveRecurrentHead', head=_VIDEO_HEAD),
        {'num_iterations': 'iterations or None'},
    ),
    ('IterateAccuracy of images', partial(_built, IMAGE_METRICS, 'IterateAccuracy'), {'topk': 'ks'}),
    ('IterateAccuracy of videos', partial(_built, VIDEO_METRICS, 'IterateAccuracy'), {'topk': 'ks'}),
    (
        'SampleTestClips',
        partial(_built, VIDEO_TRANSFORMS, 'SampleTestClips', clip_len=4),
        {'frame_interval': 'count', 'num_clips': 'count', 'positions': 'choice', 'seed': 'count or 0'},
    ),
    (
        'VideoListDataset',
        _list_dataset,
        {'num_classes': 'count or None', 'check_files': 'flag', 'max_unreadable': 'share'},
    ),
    ('MovingDigitsInMemory', _digits, {'max_clips': 'count or None', 'classes': 'count or None'}),
    (
        'ChainedWindows',
        lambda **o: _built(VIDEO_DATASETS, 'ChainedWindows', dataset=_digits(), **{'windows': 2, **o}),
        {'windows': 'count', 'cut': 'share', 'told': 'share'},
    ),
    (
        'ChainedRecognizer3D',
        _chained_recognizer,
        {'decay': 'share', 'every': 'count', 'truncate': 'count or None'},
    ),
    ('RecurrenceHook', partial(_built, HOOKS, 'RecurrenceHook'), {'interval': 'count'}),
    ('PhaseOneHook', partial(_built, HOOKS, 'PhaseOneHook'), {'allow_untrained': 'flag'}),
    ('CheckpointCheckHook', partial(_built, HOOKS, 'CheckpointCheckHook'), {'new_classifier': 'flag'}),
]
NOT_GIVEN = 'timm: '  # timm leaves arguments out that are None


def cases() -> Iterator[Case]:
    for target, build, arguments in TARGETS:
        for argument, kind in arguments.items():
            for value in KINDS[kind]:
                if value is not None or not target.startswith(NOT_GIVEN):
                    yield Case(
                        'arguments',
                        f'{target}({argument}={value!r})',
                        'error',
                        rf'\b{argument}\b',
                        lambda folder, build=build, options={argument: value}: build(**options),
                    )


def built_as_they_are() -> Iterator[str]:
    """Names of the targets that cannot even be built with good arguments, with the error: faults of this file."""
    for target, build, _ in TARGETS:
        try:
            build()
        except Exception as error:
            yield f'{target}: {type(error).__name__}: {error}'
