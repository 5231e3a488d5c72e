"""Graphs of recurrent networks give what the networks give, for batches of any size."""

import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from kaizen_mm.export import Logits, export_network, formats
from tests.export.networks import SIZE, images, mfnet, resnet

both = pytest.mark.parametrize('build', [mfnet, resnet])
last_and_all = pytest.mark.parametrize('all_iterates', [False, True])


def expected(net, x, all_iterates):
    with torch.no_grad():
        iterates = net.forward_iterates(x)
    return list(iterates) if all_iterates else [iterates[-1]]


def assert_same(outputs, wanted):
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    torch.testing.assert_close([torch.as_tensor(y) for y in outputs], wanted, rtol=1e-5, atol=1e-5)


def run_onnx(content, x):
    session = pytest.importorskip('onnxruntime').InferenceSession(content, providers=['CPUExecutionProvider'])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})


@last_and_all
@both
def test_traced(build, all_iterates):
    net = build()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            'error', torch.jit.TracerWarning
        )  # all that is a constant of the graph is meant to be one
        traced = torch.jit.trace(Logits(net, all_iterates), images(2))
    for samples in (1, 5):
        assert_same(traced(images(samples)), expected(net, images(samples), all_iterates))


@both
def test_traced_as_it_is_and_saved(build, tmp_path):
    net = build()
    torch.jit.save(torch.jit.trace(net, images(2)), tmp_path / 'net.pt')
    assert_same(torch.jit.load(tmp_path / 'net.pt')(images(3)), expected(net, images(3), False))


@last_and_all
@both
def test_the_older_onnx_exporter(build, all_iterates):
    pytest.importorskip('onnx')
    net, file = build(), io.BytesIO()
    torch.onnx.export(
        Logits(net, True) if all_iterates else net,
        (images(2),),
        file,
        dynamo=False,
        opset_version=18,
        input_names=['x'],
        dynamic_axes={'x': {0: 'n'}},
    )
    for samples in (2, 5):
        assert_same(run_onnx(file.getvalue(), images(samples)), expected(net, images(samples), all_iterates))


@last_and_all
@both
def test_pt2(build, all_iterates, tmp_path):
    net = build().train()
    assert export_network(net, tmp_path / 'net.pt2', SIZE, all_iterates) <= 1e-5
    assert net.training
    program = torch.export.load(tmp_path / 'net.pt2').module()
    for samples in (2, 7):
        assert_same(program(images(samples)), expected(net.eval(), images(samples), all_iterates))


@pytest.mark.slow
@both
def test_onnx(build, tmp_path):
    onnx = pytest.importorskip('onnx')
    net = build()
    assert export_network(net, tmp_path / 'net.onnx', SIZE, all_iterates=True) <= 1e-5
    model = onnx.load(tmp_path / 'net.onnx')
    onnx.checker.check_model(model)
    assert [entry.version for entry in model.opset_import if entry.domain == ''] == [18]
    assert [entry.name for entry in model.graph.input] == ['x']
    assert [entry.name for entry in model.graph.output] == ['logits_1', 'logits_2', 'logits_3']
    for samples in (2, 5):
        assert_same(
            run_onnx((tmp_path / 'net.onnx').read_bytes(), images(samples)), expected(net, images(samples), True)
        )


@both
def test_quantized_linear_layers(build):
    net = build()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch.ao.quantization is going to move
        quantized = torch.ao.quantization.quantize_dynamic(net, {nn.Linear})
    assert any('quantized' in type(m).__module__ for m in quantized.modules())
    for y, wanted in zip(expected(quantized, images(3), True), expected(net, images(3), True), strict=True):
        assert not torch.equal(y, wanted) and (y - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize('return_iterates', [False, True])
def test_return_iterates_comes_last_as_well(return_iterates):
    net = resnet()
    assert_same(net(images(2), return_iterates), expected(net, images(2), return_iterates))
    with pytest.raises(TypeError):
        net(images(2), 'yes')


def test_a_graph_that_differs_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'net.pt2'
    path.write_bytes(b'old')
    monkeypatch.setitem(formats.FORMATS, '.pt2', lambda module, x, names: (b'new', lambda x: [module(x) + 1e-3]))
    with pytest.raises(ValueError, match='logits that differ by 0.001 .*net.pt2 was not written'):
        export_network(mfnet(), path, SIZE)
    monkeypatch.setitem(formats.FORMATS, '.pt2', lambda module, x, names: (b'new', lambda x: [np.nan * module(x)]))
    with pytest.raises(ValueError, match='differ by nan'):
        export_network(mfnet(), path, SIZE)
    assert path.read_bytes() == b'old' and list(tmp_path.iterdir()) == [path]


class Branches(nn.Module):
    """Goes another way for bright images."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        x = x.mean(dim=(2, 3))
        return self.fc(x) if x.sum() > 0 else self.fc(-x)


@pytest.mark.parametrize(
    'path, options, error, message',
    [
        ('net.pth', {}, ValueError, r"path must end in one of .pt2, .onnx, got '.*net.pth'"),
        ('none/net.pt2', {}, FileNotFoundError, 'no folder .*none to write net.pt2 to'),
        ('.', {}, ValueError, 'path must end in'),
        ('net.pt2', dict(input_size=(3, 0, 4)), ValueError, r'input_size must be positive ints, .*, got \(3, 0, 4\)'),
        ('net.pt2', dict(batch=1), ValueError, 'batch must be an int >= 2, got 1'),
        ('net.pt2', {}, ValueError, 'Branches cannot be exported with a free batch size: '),
    ],
)
def test_what_cannot_be_exported(path, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export_network(Branches(), tmp_path / path, **{'input_size': (3, 4, 4), **options})
    assert not list(tmp_path.iterdir())
