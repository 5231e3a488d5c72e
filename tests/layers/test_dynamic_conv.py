import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kaizen_mm.layers import DynamicConv1d, DynamicConv2d, DynamicConv3d, DynamicLinear, make_dynamic
from kaizen_mm.layers.increments import DenseIncrement, LowRankIncrement, forming_is_cheaper

# a maker of the layer, and the shape of its input
LAYERS = {
    'conv1d': (lambda: nn.Conv1d(4, 6, 3, padding=1), (3, 4, 9)),
    'conv1d, stride, dilation, groups': (
        lambda: nn.Conv1d(4, 6, 3, stride=2, dilation=2, groups=2, bias=False),
        (3, 4, 11),
    ),
    'conv1d, circular': (lambda: nn.Conv1d(4, 6, 3, padding=2, padding_mode='circular'), (3, 4, 7)),
    'conv2d': (lambda: nn.Conv2d(4, 6, 3, padding=1, bias=False), (3, 4, 5, 6)),
    'conv2d, stride, uneven kernel': (lambda: nn.Conv2d(4, 6, (3, 1), stride=(2, 1), padding=(0, 1)), (3, 4, 7, 4)),
    'conv2d, dilation, groups': (lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2), (3, 4, 5, 5)),
    'conv2d, depthwise': (lambda: nn.Conv2d(4, 8, 3, padding=1, groups=4), (3, 4, 5, 5)),
    'conv2d, same': (lambda: nn.Conv2d(4, 6, 2, padding='same'), (3, 4, 5, 5)),
    'conv2d, reflect': (lambda: nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode='reflect', groups=2), (3, 4, 5, 6)),
    'conv2d, same, circular': (lambda: nn.Conv2d(4, 6, 3, padding='same', padding_mode='circular'), (3, 4, 5, 5)),
    'conv3d': (lambda: nn.Conv3d(4, 6, (3, 1, 3), padding=(1, 0, 1)), (2, 4, 4, 3, 5)),
    'conv3d, stride, groups, replicate': (
        lambda: nn.Conv3d(4, 6, 3, stride=(1, 2, 2), padding=1, groups=2, bias=False, padding_mode='replicate'),
        (2, 4, 3, 5, 5),
    ),
    'linear': (lambda: nn.Linear(4, 6), (3, 4)),
    'linear, tokens': (lambda: nn.Linear(4, 6, bias=False), (3, 5, 4)),
    'linear, map of tokens': (lambda: nn.Linear(4, 6), (3, 2, 5, 4)),
}
TOLERANCE = {torch.float64: dict(rtol=1e-10, atol=1e-12), torch.float32: dict(rtol=1e-4, atol=1e-5)}
each_layer = pytest.mark.parametrize('kind', LAYERS)
each_dtype = pytest.mark.parametrize('dtype', TOLERANCE, ids=str)


def plain_layer(kind, dtype=torch.float64):
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    return make().to(dtype), torch.randn(shape, dtype=dtype, requires_grad=True)


def sample_by_sample(layer, x, change):
    """A plain layer of its own for each sample."""
    outputs = []
    for sample, delta in zip(x, change):
        outputs.append(
            torch.func.functional_call(
                layer, {'weight': layer.weight + delta.reshape(layer.weight.shape)}, (sample[None],)
            )
        )
    return torch.cat(outputs)


def gradients(y, inputs):
    """Gradients of a fixed, uneven weighting of the output."""
    weighting = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    return torch.autograd.grad((y * weighting).sum(), inputs)


def factors(layer, batch, rank=3):
    """Random ``P`` and ``A`` for a layer."""
    rows = torch.randn(batch, len(layer.weight), rank, dtype=layer.weight.dtype, requires_grad=True)
    basis = torch.randn(layer.weight[0].numel(), rank, dtype=layer.weight.dtype, requires_grad=True)
    return rows, basis


@each_layer
def test_without_increment_it_is_the_plain_layer_to_the_bit(kind):
    layer, x = plain_layer(kind, torch.float32)
    expected = layer(x)
    dynamic = make_dynamic(layer)
    assert torch.equal(dynamic(x), expected)
    dynamic.increment = LowRankIncrement(None, factors(layer, 1)[1], 0.5)
    assert torch.equal(dynamic(x), expected)
    dynamic.increment = DenseIncrement(None)
    assert torch.equal(dynamic(x), expected)


@each_dtype
@each_layer
def test_low_rank_increment_equals_the_per_sample_loop(kind, dtype):
    layer, x = plain_layer(kind, dtype)
    rows, basis = factors(layer, len(x))
    inputs = [x, rows, basis, *layer.parameters()]
    expected = sample_by_sample(layer, x, 0.7 * rows @ basis.t())
    expected_gradients = gradients(expected, inputs)

    dynamic = make_dynamic(layer)
    dynamic.increment = LowRankIncrement(rows, basis, 0.7)
    y = dynamic(x)
    torch.testing.assert_close(y, expected, **TOLERANCE[dtype])
    torch.testing.assert_close(gradients(y, inputs), expected_gradients, **TOLERANCE[dtype])


@each_dtype
@each_layer
def test_dense_increment_equals_the_per_sample_loop(kind, dtype):
    layer, x = plain_layer(kind, dtype)
    change = torch.randn(len(x), *layer.weight.shape, dtype=dtype, requires_grad=True)
    inputs = [x, change, *layer.parameters()]
    expected = sample_by_sample(layer, x, change)
    expected_gradients = gradients(expected, inputs)

    dynamic = make_dynamic(layer)
    dynamic.increment = DenseIncrement(change)
    y = dynamic(x)
    torch.testing.assert_close(y, expected, **TOLERANCE[dtype])
    torch.testing.assert_close(gradients(y, inputs), expected_gradients, **TOLERANCE[dtype])


@pytest.mark.parametrize('kind', ['conv2d, dilation, groups', 'linear, tokens'])
def test_increments_add_up(kind):
    layer, x = plain_layer(kind)
    (first, basis), (second, _) = factors(layer, len(x)), factors(layer, len(x))
    expected = sample_by_sample(layer, x, 0.7 * first @ basis.t() + 0.7 * second @ basis.t())
    dynamic = make_dynamic(layer)
    dynamic.increment = LowRankIncrement(None, basis, 0.7).plus(first).plus(second)
    torch.testing.assert_close(dynamic(x), expected)
    shape = (len(x), *layer.weight.shape)
    dynamic.increment = (
        DenseIncrement(None)
        .plus(0.7 * (first @ basis.t()).reshape(shape))
        .plus(0.7 * (second @ basis.t()).reshape(shape))
    )
    torch.testing.assert_close(dynamic(x), expected)


@pytest.mark.parametrize('kind', ['conv2d, dilation, groups', 'linear'])
def test_norm_is_that_of_the_materialized_increment(kind):
    layer, x = plain_layer(kind)
    rows, basis = factors(layer, len(x))
    change = 0.7 * rows @ basis.t()
    expected = change.flatten(1).norm(dim=1).float()
    torch.testing.assert_close(LowRankIncrement(rows, basis, 0.7).norm(), expected)
    torch.testing.assert_close(DenseIncrement(change).norm(), expected)


@pytest.mark.parametrize('kind', ['conv2d', 'linear, tokens'])
def test_iterates_share_what_does_not_depend_on_the_increment(kind, monkeypatch):
    layer, x = plain_layer(kind)
    plain = copy.deepcopy(layer)
    rows, basis = factors(layer, len(x))
    dynamic, calls = make_dynamic(layer), []

    def counted(name, method):

        def call(*args):
            calls.append(name)
            return method(*args)

        monkeypatch.setattr(dynamic, name, call)

    for name in ('plain_forward', 'project'):
        counted(name, getattr(dynamic, name))
    increment = LowRankIncrement(None, basis, 0.7)
    outputs = []
    for _ in range(3):
        dynamic.increment = increment
        outputs.append(dynamic(x))
        increment = increment.plus(rows)
    assert calls == ['plain_forward', 'project']
    for i, y in enumerate(outputs):
        torch.testing.assert_close(y, sample_by_sample(plain, x, i * 0.7 * rows @ basis.t()))


FORMED = 'the weight of each sample'


def forms(monkeypatch, layer):
    """The calls of a layer by which an increment of low rank is added, as they come."""
    calls = []
    for name, form in (('per_sample_forward', FORMED), ('mix', 'low rank')):
        method = getattr(layer, name)
        monkeypatch.setattr(layer, name, lambda *args, m=method, f=form: (calls.append(f), m(*args))[1])
    return calls


def multiply_adds(layer, x, columns, iterates):
    """Of an increment in both forms, by the shapes of what torch multiplies."""
    basis = torch.randn(layer.weight[0].numel(), columns, dtype=x.dtype)
    rows = torch.randn(len(x), len(layer.weight), columns, dtype=x.dtype)
    base = layer.plain_forward(x)
    with FlopCounterMode(display=False) as low:
        projected = layer.project(x, basis)
        for _ in range(iterates):
            layer.mix(base, rows, projected, 1.0)
    with FlopCounterMode(display=False) as formed:
        for _ in range(iterates):
            layer.per_sample_forward(x, (rows @ basis.t()).reshape(-1, *layer.weight.shape), None)
    return low.get_total_flops(), formed.get_total_flops()


@pytest.mark.parametrize('iterates', [1, 3])
@pytest.mark.parametrize('columns', [1, 4, 20])
@pytest.mark.parametrize('kind', ['conv1d', 'conv2d, dilation, groups', 'conv3d', 'linear', 'linear, tokens'])
def test_the_form_is_the_one_of_fewer_multiply_adds(kind, columns, iterates):
    layer, x = plain_layer(kind)
    dynamic = make_dynamic(layer)
    low, formed = multiply_adds(dynamic, x.detach(), columns, iterates)
    positions = dynamic.plain_forward(x)[0].numel() // len(layer.weight)
    sizes = len(layer.weight), layer.weight[0].numel(), columns, positions, getattr(layer, 'groups', 1), iterates
    assert forming_is_cheaper(*sizes) == (formed < low)


@each_dtype
@each_layer
def test_an_increment_of_many_columns_equals_the_per_sample_loop(kind, dtype, monkeypatch):
    layer, x = plain_layer(kind, dtype)
    rows, basis = factors(layer, len(x), rank=64)
    inputs = [x, rows, basis, *layer.parameters()]
    expected = [sample_by_sample(layer, x, 0.07 * i * rows @ basis.t()) for i in range(3)]
    expected_gradients = gradients(torch.stack(expected), inputs)
    dynamic, outputs = make_dynamic(layer), []
    calls = forms(monkeypatch, dynamic)
    increment = LowRankIncrement(None, basis, 0.07, later=2)
    for _ in range(3):
        dynamic.increment = increment
        outputs.append(dynamic(x))
        increment = increment.plus(rows)
    torch.testing.assert_close(outputs, expected, **TOLERANCE[dtype])
    torch.testing.assert_close(
        gradients(torch.stack(outputs), inputs),
        expected_gradients,
        **{**TOLERANCE[dtype], 'atol': TOLERANCE[dtype]['atol'] * 100},
    )
    assert calls == ['low rank' if kind == 'linear' else FORMED] * 2


def test_a_trace_takes_batches_of_any_size():
    layer, x = plain_layer('conv2d', torch.float32)
    rows, basis = (factor.detach() for factor in factors(layer, len(x), rank=64))
    x, dynamic = x.detach(), make_dynamic(layer)

    def increased(x, rows):
        dynamic.increment = LowRankIncrement(rows, basis, 0.07)
        return dynamic(x)

    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    traced = torch.jit.trace(increased, (x, rows))
    more = torch.cat([x, x]), torch.cat([rows, 2 * rows])
    torch.testing.assert_close(traced(*more), increased(*more))


@pytest.mark.parametrize('change', ['another tensor', 'changed in place'])
def test_another_input_is_computed_anew(change):
    layer, x = plain_layer('conv2d')
    x = x.detach()
    plain = copy.deepcopy(layer)
    rows, basis = factors(layer, len(x))
    dynamic = make_dynamic(layer)
    increment = LowRankIncrement(None, basis, 0.7).plus(rows)
    dynamic.increment = increment
    dynamic(x)
    if change == 'another tensor':
        x = x + 1
    else:
        x += 1
    dynamic.increment = increment.plus(rows)
    torch.testing.assert_close(dynamic(x), sample_by_sample(plain, x, 1.4 * rows @ basis.t()))


@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_works_without_gradients(mode):
    layer, x = plain_layer('conv2d')
    rows, basis = factors(layer, len(x))
    expected = sample_by_sample(layer, x, 0.7 * rows @ basis.t())
    dynamic = make_dynamic(layer)
    dynamic.increment = LowRankIncrement(rows, basis, 0.7)
    with mode():
        torch.testing.assert_close(dynamic(x * 1), expected)


@pytest.mark.parametrize(
    'kind, expected',
    [('conv1d', DynamicConv1d), ('conv2d', DynamicConv2d), ('conv3d', DynamicConv3d), ('linear', DynamicLinear)],
)
def test_make_dynamic_changes_the_class_alone(kind, expected):
    layer, _ = plain_layer(kind)
    parameters, names = list(layer.parameters()), list(layer.state_dict())
    dynamic = make_dynamic(layer)
    assert dynamic is layer and type(dynamic) is expected and isinstance(dynamic, type(LAYERS[kind][0]()))
    assert all(a is b for a, b in zip(dynamic.parameters(), parameters))
    assert list(dynamic.state_dict()) == names
    assert make_dynamic(dynamic) is dynamic


class ScaledLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class SummedConv(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return x + super()._conv_forward(x, weight, bias)


class NamedLinear(nn.Linear):
    """Computes what its base does."""


@pytest.mark.parametrize(
    'layer',
    [
        nn.BatchNorm2d(4),
        ScaledLinear(4, 4),
        SummedConv(4, 4, 1),
        nn.ConvTranspose2d(4, 4, 1),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_that_compute_something_else_are_refused(layer):
    with pytest.raises(TypeError, match=rf'mixer is a .*{type(layer).__name__}; .*Conv1d, Conv2d, Conv3d, Linear'):
        make_dynamic(layer, 'mixer')


def test_a_subclass_that_computes_the_same_is_taken():
    layer, x = NamedLinear(4, 6), torch.randn(3, 4)
    expected = layer(x)
    assert torch.equal(make_dynamic(layer)(x), expected) and type(layer) is DynamicLinear


@pytest.mark.parametrize('kind', ['conv2d', 'linear'])
@pytest.mark.parametrize('increment', ['low rank', 'dense'])
def test_batch_sizes_of_input_and_increment_must_agree(kind, increment):
    layer, x = plain_layer(kind)
    rows, basis = factors(layer, 2)
    dynamic = make_dynamic(layer)
    dynamic.increment = (
        LowRankIncrement(rows, basis, 1.0)
        if increment == 'low rank'
        else DenseIncrement((rows @ basis.t()).reshape(2, *layer.weight.shape))
    )
    with pytest.raises(ValueError, match='input of batch size 3 .* increment for 2 samples'):
        dynamic(x)
