"""The tables that ``tools/reproduce.py`` measures."""

from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.lab.mnist_tables import MNIST_TABLES
from kaizen_mm.lab.rival_tables import RIVAL_TABLES
from kaizen_mm.lab.study_tables import STUDY_TABLES
from kaizen_mm.lab.table import Table, few

_TINY_IMAGENET_QUICK = few('indices', 64, 20)
# the networks of the paper's table 4, Zamir's and MFNet-2D; the recurrent ones also with the kaizen loss
_COMPARATORS = [
    'resnet18',
    'resnet152',
    'googlenet',
    'shufflenet_2x',
    'mobilenet_1',
    'squeezenet',
    'sharesnet34',
    'iamnn_1',
    'iamnn',
    'kaizen_iamnn',
    'cornet_s',
    'kaizen_cornet_s',
    'feedback_net',
    'kaizen_feedback_net',
    'conv_rnn',
    'kaizen_conv_rnn',
    'mfnet2d',
]
TABLES = {
    **MNIST_TABLES,
    'tiny_imagenet': Table(
        title='MFNet-2D, 20 classes of Tiny ImageNet',
        phase_one='mfnet2d_tiny_imagenet',
        rows=dict.fromkeys(
            [
                'mfnet2d_tiny_imagenet',
                'mfnet2d_tiny_imagenet_control',
                'recurrent_mfnet2d_tiny_imagenet_k2',
                'recurrent_mfnet2d_tiny_imagenet_k3',
                'kaizen_mfnet2d_tiny_imagenet_k2',
                'kaizen_mfnet2d_tiny_imagenet_k3',
            ]
        ),
        measure=MEASURES['top1'],
        quick=_TINY_IMAGENET_QUICK,
    ),
    'tiny_imagenet_resnet18': Table(
        title='ResNet-18 (mmpretrain), 20 classes of Tiny ImageNet',
        phase_one='resnet18_tiny_imagenet',
        rows=dict.fromkeys(
            [
                'resnet18_tiny_imagenet',
                'resnet18_tiny_imagenet_control',
                'kaizen_resnet18_tiny_imagenet_k3',
                'kaizen_resnet18_tiny_imagenet_k3_shared',
            ]
        ),
        measure=MEASURES['top1'],
        quick=_TINY_IMAGENET_QUICK,
    ),
    'tiny_imagenet_timm_resnet18': Table(
        title='ResNet-18 (timm), 20 classes of Tiny ImageNet',
        phase_one='timm_resnet18_tiny_imagenet',
        rows=dict.fromkeys(
            [
                'timm_resnet18_tiny_imagenet',
                'timm_resnet18_tiny_imagenet_control',
                'kaizen_timm_resnet18_tiny_imagenet_k3',
            ]
        ),
        measure=MEASURES['top1'],
        quick=_TINY_IMAGENET_QUICK,
    ),
    'comparators_tiny_imagenet': Table(
        title='20 classes of Tiny ImageNet at 32 px',
        phase_one='comparators/mfnet2d_tiny_imagenet',
        rows=dict.fromkeys(
            [
                *(f'comparators/{name}_tiny_imagenet' for name in _COMPARATORS),
                'comparators/mfnet2d_tiny_imagenet_control',
                'comparators/kaizen_mfnet2d_tiny_imagenet_k3',
            ]
        ),
        measure=MEASURES['top1'],
        quick=_TINY_IMAGENET_QUICK,
        costs=True,
    ),
    **STUDY_TABLES,
    **RIVAL_TABLES,
}
