"""Counters of operations against the formula: what does not depend on the iterate counts once."""

import runpy
import sys
from pathlib import Path

import pytest
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info
from torch import nn

from kaizen_mm.models.mfnet import mfnet2d_n9
from tests.conftest import ROOT
from tests.export.networks import SIZE, images, mfnet, resnet

COUNTED = ('conv', 'linear', 'addmm', 'matmul', 'bmm', 'baddbmm')  # no norms and activations


def layers(net, x):
    """Multiply-adds of each convolution and linear layer of a plain network, by name."""
    counts, handles = {}, []
    for name, module in net.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            handles.append(
                module.register_forward_hook(
                    lambda m, inputs, y, name=name: counts.update({name: y.numel() * m.weight[0].numel()})
                )
            )
    net(x)
    for handle in handles:
        handle.remove()
    return counts


def of_mfnet(net, x):
    """Of the plain network, once for all iterates, and again for each later one."""
    plain = mfnet2d_n9(num_classes=5, widths=(8, 8, 8, 16), units=(1, 1, 1, 2), groups=4).eval()
    counts, positions = layers(plain, x), x.shape[0] * 1  # of the last maps
    first, second = (linear.in_features for linear in net.recurrent_block.adapter.linears)  # F
    again = sum(counts[f'conv5.B02.{part}.conv'] for part in ('conv_i2', 'conv_m1', 'conv_m2'))
    # u has 16 channels, the multiplexer 4 between its convolutions
    return sum(counts.values()), 16 * first * positions, again + (4 * first + (4 + 16) * second) * positions


def of_resnet(net, x):
    plain = resnet(1).wrapped
    counts = {name.replace('wrapped.', ''): count for name, count in layers(plain, x).items()}
    block, columns = net.recurrent_block.wrapped, net.recurrent_block.adapter.linears[0].in_features
    positions = x.shape[0] * 1
    inputs, outputs = block.conv1.weight[0].numel(), block.conv1.out_channels
    assert counts['layer4.0.conv1'] == inputs * outputs * positions
    # the shortcut's convolution sees the same input as well, so that a traced graph has it once
    again = sum(counts[f'layer4.0.{name}'] for name in ('conv2', 'conv3') if f'layer4.0.{name}' in counts)
    return sum(counts.values()), inputs * columns * positions, again + outputs * columns * positions


@pytest.mark.parametrize('num_iterations', [1, 2, 3, 4])
@pytest.mark.parametrize('build, formula', [(mfnet, of_mfnet), (resnet, of_resnet)])
def test_counters_give_what_the_formula_gives(build, formula, num_iterations):
    fvcore = pytest.importorskip('fvcore.nn')
    net, x = build(2), images(3)
    plain, once, again = formula(net, x)
    net.num_iterations = num_iterations
    expected = plain + (once + (num_iterations - 1) * again if num_iterations > 1 else 0)
    for counter in (fvcore.FlopCountAnalysis(net, x), FlopAnalyzer(net, x)):
        counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert sum(count for name, count in counter.by_operator().items() if name in COUNTED) == expected


def test_complexity_of_mmengine():
    info = get_model_complexity_info(mfnet(), SIZE)
    assert info['flops'] > 0 and info['params'] == sum(p.numel() for p in mfnet().parameters())


@pytest.mark.parametrize(
    'package, config, shape',
    [
        ('mmaction', 'kaizen_mfnet_digits', (1, 3, 16, 56, 56)),
        ('mmpretrain', 'kaizen_mfnet2d_tiny_imagenet_k3', (64, 64)),
    ],
)
def test_the_stock_tool(package, config, shape, monkeypatch, capsys):
    folder = Path(pytest.importorskip(package).__file__).parent
    tool = folder / '.mim' / 'tools' / 'analysis_tools' / 'get_flops.py'
    if not tool.is_file():
        pytest.skip(f'{package} was installed without its tools')
    monkeypatch.setattr(sys, 'argv', [str(tool), str(ROOT / 'configs' / f'{config}.py'), '--shape', *map(str, shape)])
    runpy.run_path(str(tool), run_name='__main__')
    text = capsys.readouterr().out
    assert 'Flops: ' in text and 'baddbmm' not in text
