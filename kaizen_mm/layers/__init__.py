"""The adaptive recurrent block and its parts; needs torch alone."""

from kaizen_mm.layers.dynamic_conv import DynamicConv1d, DynamicConv2d, DynamicConv3d, DynamicLinear, make_dynamic
from kaizen_mm.layers.iterate_statistics import add_iterate_statistics, iterate_statistics
from kaizen_mm.layers.per_iterate import PerIterate
from kaizen_mm.layers.recurrent_block import AdaptiveRecurrentBlock, recurrent_blocks
from kaizen_mm.layers.weight_adapter import WeightAdapter

__all__ = [
    'AdaptiveRecurrentBlock',
    'DynamicConv1d',
    'DynamicConv2d',
    'DynamicConv3d',
    'DynamicLinear',
    'PerIterate',
    'WeightAdapter',
    'add_iterate_statistics',
    'iterate_statistics',
    'make_dynamic',
    'recurrent_blocks',
]
