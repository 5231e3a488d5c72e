"""Networks; needs torch alone."""

from kaizen_mm.former_places import former_name
from kaizen_mm.models.bagnet import BagNet
from kaizen_mm.models.cifar_resnet import CifarResNet
from kaizen_mm.models.mfnet import (
    MFNet,
    kaizen_mfnet2d,
    kaizen_mfnet2d_n9,
    kaizen_mfnet3d_n9,
    mfnet2d,
    mfnet2d_n9,
    mfnet3d,
    mfnet3d_n9,
)
from kaizen_mm.models.mnist_cnn import MnistCNN, MnistCNNBig

__all__ = [
    'BagNet',
    'CifarResNet',
    'MFNet',
    'MnistCNN',
    'MnistCNNBig',
    'kaizen_mfnet2d',
    'kaizen_mfnet2d_n9',
    'kaizen_mfnet3d_n9',
    'mfnet2d',
    'mfnet2d_n9',
    'mfnet3d',
    'mfnet3d_n9',
]


def __getattr__(name: str):
    return former_name(__name__, name)
