"""Networks that MFNet is compared with and that no library of ours has; needs torch alone."""

from kaizen_mm.models.comparators.base import ImageNetwork
from kaizen_mm.models.comparators.conv_rnn import ConvRNN
from kaizen_mm.models.comparators.cornet_rt import CORnetRT
from kaizen_mm.models.comparators.cornet_s import CORnetS
from kaizen_mm.models.comparators.cornet_z import CORnetZ
from kaizen_mm.models.comparators.feedback_net import FeedbackNet
from kaizen_mm.models.comparators.iamnn import IamNN
from kaizen_mm.models.comparators.ltc import LTC
from kaizen_mm.models.comparators.narrow import narrow
from kaizen_mm.models.comparators.sharesnet import ShaResNet
from kaizen_mm.models.comparators.stc import STCBlock, add_stc

__all__ = [
    'CORnetRT',
    'CORnetS',
    'CORnetZ',
    'ConvRNN',
    'FeedbackNet',
    'IamNN',
    'ImageNetwork',
    'LTC',
    'STCBlock',
    'ShaResNet',
    'add_stc',
    'narrow',
]
