"""The adaptive recurrent block and its parts; needs torch alone."""

from kaizen_mm.layers.adapters import ADAPTERS, build_adapter
from kaizen_mm.layers.chains import chain_passes
from kaizen_mm.layers.dynamic_conv import DynamicConv1d, DynamicConv2d, DynamicConv3d, DynamicLinear, make_dynamic
from kaizen_mm.layers.fast_weight_methods import written_weights
from kaizen_mm.layers.fast_weights import FastWeights
from kaizen_mm.layers.iterate_statistics import add_iterate_statistics, iterate_statistics
from kaizen_mm.layers.per_iterate import PerIterate
from kaizen_mm.layers.recurrent_block import AdaptiveRecurrentBlock, recurrent_blocks
from kaizen_mm.layers.rewriting import rewriting, set_decay
from kaizen_mm.layers.specialization import specialized
from kaizen_mm.layers.weight_adapter import WeightAdapter
from kaizen_mm.layers.writing_block import holding

__all__ = [
    'ADAPTERS',
    'AdaptiveRecurrentBlock',
    'DynamicConv1d',
    'DynamicConv2d',
    'DynamicConv3d',
    'DynamicLinear',
    'FastWeights',
    'PerIterate',
    'WeightAdapter',
    'add_iterate_statistics',
    'build_adapter',
    'chain_passes',
    'holding',
    'iterate_statistics',
    'make_dynamic',
    'recurrent_blocks',
    'rewriting',
    'set_decay',
    'specialized',
    'written_weights',
]
