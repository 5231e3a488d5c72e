"""Feature maps, TorchScript and graphs of torch.fx of the comparators, and the table of docs/timm.md, which says which
network has what."""

import copy
import re

import pytest
import timm
import torch
from timm.models import create_feature_extractor, get_graph_node_names
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.layers.iterate_statistics import IterateStatistics
from kaizen_mm.timm_names import hub
from tests.conftest import ROOT
from tests.timm_names import test_mfnet
from tests.timm_names.test_comparators import NAMES

SHARED = dict(norm_statistics='shared')
FEW = {name: dict(num_iterations=3) for name in ('iamnn', 'conv_rnn')}
CASES = [(name, FEW.get(name, {})) for name in NAMES if name != 'sharesnet34'] + [('feedback_net', SHARED)]
every_case = pytest.mark.parametrize('name, options', CASES, ids=[f'{n}{"-shared" * (o is SHARED)}' for n, o in CASES])
TABLE = dict(re.findall(r'^\| ((?:`\w+`(?:, )?)+) \| (.*) \|$', (ROOT / 'docs/timm.md').read_text(), re.M))
ROWS = {name: row.split(' | ') for names, row in TABLE.items() for name in re.findall(r'\w+', names)}
# without the name that stands for a network and what it was made recurrent with: it has no row of its own
OURS = [
    name
    for name in timm.list_models()
    if timm.models.model_entrypoint(name).__module__.startswith('kaizen_mm.') and name != hub.NAME
]


def create(name, **options):
    """A narrow network all of whose parts, and all iterates' statistics, differ from those that others start with."""
    torch.manual_seed(0)
    net = timm.create_model(name, **{'num_classes': 5, 'width': 0.125, **options})
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (_BatchNorm, IterateStatistics)):
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 1.5)
            if isinstance(module, nn.Linear):
                module.weight.normal_(std=1.0)  # IamNN's images halt at different iterations
    return net


def images(count=2, size=64):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def statistics(net):
    return {name: value.clone() for name, value in net.state_dict().items() if 'running_' in name or 'num_' in name}


def graph(net):
    """The network as a graph, the way timm makes one."""
    return create_feature_extractor(net, [get_graph_node_names(net)[1][-1]])


def output(graph_module, x):
    (y,) = graph_module(x).values()
    return y


@every_case
def test_maps_of_the_stages(name, options):
    net, x = create(name, **options).eval(), images()
    last, maps = net.forward_intermediates(x)
    assert torch.equal(last, net.forward_features(x)) and torch.equal(maps[-1], last)
    channels, sides = ([info[key] for info in net.feature_info] for key in ('num_chs', 'reduction'))
    assert [tuple(y.shape) for y in maps] == [(2, c, 64 // side, 64 // side) for c, side in zip(channels, sides)]
    for indices, expected in ((2, [-2, -1]), ([1, -1], [1, -1]), ((0,), [0])):
        for early in (False, True):
            some = net.forward_intermediates(x, indices, stop_early=early, intermediates_only=True)
            assert all(torch.equal(y, maps[index]) for y, index in zip(some, expected, strict=True))
    assert torch.equal(net.forward_intermediates(x, [1], stop_early=True)[0], maps[1])


@every_case
@pytest.mark.parametrize('feature_cls', [None, 'fx'])
def test_features_only(name, options, feature_cls):
    net, x = create(name, **options).eval(), images()
    maps, count = net.forward_intermediates(x, intermediates_only=True), len(net.feature_info)
    how = {} if feature_cls is None else dict(feature_cls=feature_cls)
    for indices in (None, (0, 2)) if feature_cls else (None, (0, 2), (-1,), (1,)):
        some = {} if indices is None else dict(out_indices=indices)
        extractor = create(name, features_only=True, **options, **how, **some).eval()
        inner = extractor.graph_module if feature_cls else extractor.model
        inner.load_state_dict({key: net.state_dict()[key] for key in inner.state_dict()})
        wanted = [index % count for index in (indices or range(count))]
        assert extractor.feature_info.channels() == [maps[index].shape[1] for index in wanted]
        assert extractor.feature_info.reduction() == [64 // maps[index].shape[-1] for index in wanted]
        assert all(torch.equal(y, maps[index]) for y, index in zip(extractor(x), wanted, strict=True))
        if not feature_cls:  # nothing is computed or kept in vain
            names = {key for key, _ in inner.named_parameters()}
            inner.train().forward_features(x).square().mean().backward()
            assert names == {key for key, p in inner.named_parameters() if p.grad is not None}
            assert names == set(dict(net.named_parameters())) & names and not any('classifier' in key for key in names)
            assert inner.num_features == maps[max(wanted)].shape[1]


@every_case
def test_torchscript_computes_the_same(name, options, tmp_path):
    net, x = create(name, **options, scriptable=True).double(), images().double()
    other, keys = copy.deepcopy(net), list(net.state_dict())
    script = torch.jit.script(net)
    for training in (False, True):
        torch.testing.assert_close(script.train(training)(x), other.train(training)(x))
    moved = statistics(other)
    for key, value in statistics(net).items():  # it is the network's own that have moved
        torch.testing.assert_close(value, moved[key], msg=key)
    script(x).square().sum().backward()
    other(x).square().sum().backward()
    for (key, one), another in zip(net.named_parameters(), other.parameters()):
        torch.testing.assert_close(one.grad, another.grad, msg=key)
    assert list(net.state_dict()) == keys and list(script.state_dict()) == keys
    script.eval().save(tmp_path / 'net.pt')
    loaded = torch.jit.load(tmp_path / 'net.pt')
    for count, size in ((3, 64), (1, 96)):  # another batch, another size
        y = -images(count, size).double()
        torch.testing.assert_close(loaded(y), other.eval()(y))


@every_case
def test_a_graph_of_timm_computes_the_same(name, options):
    net, x = create(name, **options), images()
    other, keys = copy.deepcopy(net), set(net.state_dict())
    traced = graph(net)
    before = statistics(net)
    assert all(torch.equal(value, before[key]) for key, value in statistics(other).items()), 'tracing moves nothing'
    for training in (False, True):
        torch.testing.assert_close(output(traced.train(training), x), other.train(training)(x))
    moved = statistics(other)
    for key, value in statistics(traced).items():
        torch.testing.assert_close(value, moved[key], msg=key)
    assert {key for key, _ in traced.named_parameters()} == {key for key, _ in net.named_parameters()}
    other(x)
    output(traced, x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in traced.parameters())
    for count, size in ((3, 64), (1, 96)):
        torch.testing.assert_close(output(traced.eval(), -images(count, size)), other.eval()(-images(count, size)))
    script = torch.jit.script(traced)
    torch.testing.assert_close(output(script, x), other(x))
    assert set(net.state_dict()) == keys


@every_case
def test_symbolic_trace_computes_the_same_or_is_refused(name, options):
    net, x = create(name, **options).eval(), images()
    before = getattr(net, 'ponder_cost', None)
    if name == 'feedback_net' and not options:
        with pytest.raises(TypeError, match=r'running statistics of each iterate .* timm.models.create_feature_extr'):
            torch.fx.symbolic_trace(net)
        return
    traced = torch.fx.symbolic_trace(net)
    assert getattr(net, 'ponder_cost', None) is before, 'nothing of the graph stays in the network'
    torch.testing.assert_close(traced(-x), net(-x))


def test_what_goes_in_vain_is_named():
    for feature_cls in ('hook', 'list', 'dict'):
        with pytest.raises(ValueError, match=rf"feature_cls must be one of \('getter', 'fx'\) .* got '{feature_cls}'"):
            create('cornet_s', features_only=True, feature_cls=feature_cls)
        with pytest.raises(ValueError, match=rf"feature_cls must be one of \('getter', 'fx'\) .* got '{feature_cls}'"):
            create('cornet_s', features_only=True, feature_cfg=dict(feature_cls=feature_cls))
    assert len(create('cornet_z', features_only=True, feature_cfg=dict(out_indices=(1, 2)))(images())) == 2
    net = create('cornet_z')
    with pytest.raises(ValueError, match='indices must be ints from -4 to 3, at least one, got .4.'):
        net.forward_intermediates(images(), [4])
    with pytest.raises(ValueError, match='indices must be ints from -4 to 3'):
        create('cornet_z', features_only=True, out_indices=(4,))
    with pytest.raises(ValueError, match="output_fmt must be 'NCHW', got 'NLC'"):
        net.forward_intermediates(images(), output_fmt='NLC')
    with pytest.raises(ValueError, match='input must be at least 32 pixels high and wide'):
        create('cornet_z', features_only=True)(images(size=16))


def succeeds(function):
    try:
        function()
    except Exception:
        return 'no'
    return 'yes'


def network_and_input(name):
    if name in NAMES:
        return lambda **options: create(name, **options), images()
    if 'mfnet' in name:
        return lambda **options: test_mfnet.create(name, **options), test_mfnet.images(name)
    shape = (1, 16, 32, 32) if '3d' in name else (3, 32, 32)
    return lambda **options: timm.create_model(name, **options), torch.randn(2, *shape)


@pytest.mark.parametrize('name', OURS)
def test_the_table_says_what_a_network_does(name):
    build, x = network_and_input(name)
    maps, *cells = ROWS[name]
    if maps == 'no':
        assert succeeds(lambda: build(features_only=True)) == 'no'
    else:
        assert build(features_only=True).feature_info.reduction() == [int(side) for side in maps.split(', ')]
    net = build().eval()
    expected = net(x)

    def check(y):
        torch.testing.assert_close(y, expected)

    ways = (
        lambda: check(torch.jit.script(copy.deepcopy(net))(x)),
        lambda: check(output(graph(net).eval(), x)),
        lambda: check(torch.fx.symbolic_trace(net)(x)),
    )
    assert [succeeds(way) for way in ways] == [re.match(r'yes|no', cell)[0] for cell in cells]


def test_the_table_has_all_names():
    assert set(ROWS) == set(OURS)
