"""The contract of timm's networks, for ours; small inputs wherever the input may be small."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.layers.iterate_statistics import IterateStatistics
from kaizen_mm.losses import KaizenLoss
from tests.checkpoint_samples import flip

timm = pytest.importorskip('timm')
from timm.models import get_notrace_modules, group_parameters  # noqa: E402
from timm.optim import create_optimizer_v2  # noqa: E402
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names  # noqa: E402

PLAIN = ['mfnet2d', 'mfnet2d_n9', 'mfnet3d', 'mfnet3d_n9']
RECURRENT = ['kaizen_mfnet2d', 'kaizen_mfnet2d_n9', 'kaizen_mfnet3d_n9']
NAMES = PLAIN + RECURRENT
SMALL = ['mfnet2d_n9', 'mfnet3d_n9', 'kaizen_mfnet2d_n9', 'kaizen_mfnet3d_n9']
every_name = pytest.mark.parametrize('name', NAMES)
small_name = pytest.mark.parametrize('name', SMALL)
recurrent_name = pytest.mark.parametrize('name', RECURRENT)


def size_of(name):
    return (4, 64, 64) if '3d' in name else (64, 64)


def width_of(name):
    return 192 if name.endswith('_n9') else 768


def create(name, seed=0, **options):
    """A network for inputs of :func:`size_of`, five classes, all of whose parts do something."""
    torch.manual_seed(seed)
    if name in RECURRENT:
        options = {'alpha': 0.1, 'pool_kernel': 2, 'pool_stride': 1, 'input_size': size_of(name), **options}
    net = timm.create_model(name, **{'num_classes': 5, **options})
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                for tensor in (module.weight, module.bias):
                    tensor.add_(0.3 * torch.randn_like(tensor))
            if isinstance(module, (_BatchNorm, IterateStatistics)):  # other statistics in each iterate
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 1.5)
        for parameter in getattr(getattr(net, 'recurrent_block', None), 'adapter', nn.Module()).parameters():
            parameter.normal_(std=0.3)
    return net


def images(name, batch=2, seed=1, channels=3):
    torch.manual_seed(seed)
    return torch.randn(batch, channels, *size_of(name))


def statistics(net):
    return {name: value.clone() for name, value in net.state_dict().items() if 'running_' in name or 'num_' in name}


def assert_iterates_differ(net, x):
    with torch.no_grad():
        iterates = net.eval().forward_iterates(x)
    assert len(iterates) == 3
    assert min((a - b).abs().max() for a, b in zip(iterates, iterates[1:])) > 0.01


@every_name
def test_default_config(name):
    with torch.device('meta'):
        net = timm.create_model(name).eval()
    cfg, state = net.default_cfg, net.state_dict()
    assert name in timm.list_models('*mfnet*') and f'{name}.untrained' in timm.list_models(include_tags=True)
    assert cfg is net.pretrained_cfg and cfg['architecture'] == name
    assert cfg['input_size'] == ((3, 16, 224, 224) if '3d' in name else (3, 224, 224))
    assert cfg['num_classes'] == net.num_classes == (400 if '3d' in name else 1000)
    assert cfg['fixed_input_size'] == (name in RECURRENT)
    assert cfg['first_conv'] + '.weight' in state and cfg['classifier'] + '.weight' in state
    assert state[cfg['first_conv'] + '.weight'].shape[:2] == (16, 3)
    assert net.num_features == net.head_hidden_size == width_of(name)
    assert net.num_iterations == (3 if name in RECURRENT else None)
    features = net.forward_features(torch.empty(1, *cfg['input_size'], device='meta'))
    assert features.shape == (1, net.num_features, *cfg['pool_size'])
    assert net.forward_head(features).shape == (1, net.num_classes)


@every_name
def test_forward_and_backward(name):
    net = create(name, in_chans=2)
    y = net(images(name, channels=2))
    assert y.shape == (2, 5) and y.isfinite().all()
    y.square().sum().backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@recurrent_name
def test_forward_gives_the_last_iterate(name):
    net, x = create(name), images(name)
    assert_iterates_differ(net, x)
    assert torch.equal(net(x), net.forward_iterates(x)[-1])
    assert create(name, num_iterations=2).num_iterations == 2
    loss = KaizenLoss()(net.train().forward_iterates(x), torch.tensor([0, 3]))
    loss.backward()
    assert all(p.grad.any() for p in net.recurrent_block.adapter.parameters())


@recurrent_name
def test_freeze_dynamic(name):
    frozen = {n for n, p in create(name, freeze_dynamic=True).named_parameters() if not p.requires_grad}
    unit = 'conv5.B02' if name.endswith('_n9') else 'conv5.B03'
    assert frozen == {f'{unit}.wrapped.conv_i1.conv.weight', f'{unit}.wrapped.conv_i2.conv.weight'}
    assert all(p.requires_grad for p in create(name).parameters())


@small_name
def test_head(name):
    net, x = create(name).eval(), images(name)
    features = net.forward_features(x)
    average, maximum = features.flatten(2).mean(2), features.flatten(2).amax(2)
    torch.testing.assert_close(net.forward_head(features, pre_logits=True), average)
    torch.testing.assert_close(net(x), nn.functional.linear(average, *net.get_classifier().parameters()))
    assert net.get_classifier() is net.classifier
    for pool, expected in (('max', maximum), ('avgmax', (average + maximum) / 2), ('avg', average), ('', features)):
        net.reset_classifier(0, pool)
        torch.testing.assert_close(net(x), expected)
        assert net.num_classes == 0 and net.global_pool == pool
        fresh = create(name, num_classes=0, global_pool=pool).eval()
        fresh.load_state_dict(net.state_dict())
        torch.testing.assert_close(fresh(x), expected)
    net.reset_classifier(7, 'max')
    assert net(x).shape == (2, 7) and net.num_classes == net.get_classifier().out_features == 7
    net.reset_classifier(4)
    torch.testing.assert_close(net(x), nn.functional.linear(maximum, *net.get_classifier().parameters()))
    net.double().reset_classifier(2)
    assert net(x.double()).shape == (2, 2)


def test_drop_rate():
    net, features = create('mfnet2d_n9', drop_rate=0.5), torch.rand(2, 192, 2, 2) + 0.1
    kept = net.forward_head(features, pre_logits=True) != 0
    assert 0.35 < kept.float().mean() < 0.65
    assert (net.eval().forward_head(features, pre_logits=True) != 0).all()


@small_name
def test_intermediates(name):
    net, x = create(name).eval(), images(name)
    output, maps = net.forward_intermediates(x)
    assert torch.equal(output, net.forward_features(x))
    assert [m.shape[1] for m in maps] == [info['num_chs'] for info in net.feature_info] == [16, 24, 48, 96, 192]
    assert [64 // m.shape[-1] for m in maps] == [info['reduction'] for info in net.feature_info] == [2, 4, 8, 16, 32]
    seen = []
    handles = [
        net.get_submodule(info['module']).register_forward_hook(lambda m, i, y: seen.append(y))
        for info in net.feature_info
    ]
    net(x)
    for handle in handles:
        handle.remove()
    last = seen.pop()
    assert all(torch.equal(a, b) for a, b in zip(maps, [*seen, last[-1] if name in RECURRENT else last]))
    for indices, expected in ((2, [3, 4]), ([1, -1], [1, 4]), ((0,), [0])):
        for stop_early in (False, True):
            some = net.forward_intermediates(x, indices, stop_early=stop_early, intermediates_only=True)
            assert len(some) == len(expected) and all(torch.equal(a, maps[i]) for a, i in zip(some, expected))
    output, some = net.forward_intermediates(x, [2], stop_early=True)
    assert torch.equal(output, maps[2])
    normed = net.forward_intermediates(x, norm=True, intermediates_only=True)
    assert torch.equal(normed[4], net.forward_features(x)) and torch.equal(normed[3], maps[3])


@small_name
def test_features_only(name):
    net, x = create(name).eval(), images(name)
    maps = net.forward_intermediates(x, intermediates_only=True)
    for options, expected in (
        ({}, [0, 1, 2, 3, 4]),
        ({'out_indices': (1, -1)}, [1, 4]),
        ({'out_indices': (0, 2)}, [0, 2]),
        ({'out_indices': [0]}, [0]),
    ):
        extractor = create(name, features_only=True, num_classes=0, **options).eval()
        assert extractor.feature_info.channels() == [(16, 24, 48, 96, 192)[i] for i in expected]
        assert extractor.feature_info.reduction() == [2 ** (i + 1) for i in expected]
        assert extractor.default_cfg['input_size'] == net.default_cfg['input_size']
        weights = net.state_dict()
        extractor.model.load_state_dict({key: weights[key] for key in extractor.model.state_dict()})
        assert all(torch.equal(a, maps[i]) for a, i in zip(extractor(x), expected, strict=True))
        if 4 not in expected:  # nothing is computed or kept in vain
            assert not any(key.startswith(('conv5', 'tail')) for key in extractor.model.state_dict())
            assert extractor.model.forward_features(x).shape == maps[expected[-1]].shape


@pytest.mark.parametrize('feature_cls', ['hook', 'fx', 'list'])
def test_other_feature_extractors(feature_cls):
    extractor = create('mfnet2d_n9', features_only=True, feature_cls=feature_cls)
    assert [y.shape[1] for y in extractor(images('mfnet2d_n9'))] == [16, 24, 48, 96, 192]
    with pytest.raises(ValueError, match=f"feature_cls must be 'getter' .*; got '{feature_cls}'"):
        create('kaizen_mfnet2d_n9', features_only=True, feature_cls=feature_cls)


@pytest.mark.slow
@pytest.mark.parametrize(
    'name, options',
    [
        ('mfnet2d_n9', {}),
        ('mfnet3d_n9', {'global_pool': 'max'}),
        ('kaizen_mfnet2d', {}),
        ('kaizen_mfnet3d_n9', {'norm_statistics': 'shared', 'alpha': 10.0}),
        ('kaizen_mfnet2d_n9', {'num_iterations': 1}),
        ('kaizen_mfnet2d_n9', {'units': (1, 1, 1, 1), 'bias': True}),  # the only unit of its stage
        ('kaizen_mfnet2d_n9', {'bias': True, 'row_layout': 'concatenated'}),
        ('kaizen_mfnet3d_n9', {'bound': 'tanh', 'pool_kernel': (2, 3, 3), 'pool_padding': (0, 1, 1), 'bias': True}),
        ('kaizen_mfnet2d_n9', {'shared_rows': False, 'groups': 4, 'widths': (8, 8, 8, 8), 'bias': True}),
    ],
)
def test_torchscript_computes_the_same(name, options, tmp_path):
    net, x = create(name, **options), images(name)
    if name in RECURRENT and options.get('num_iterations') != 1:
        assert_iterates_differ(net, x)
    other, names = copy.deepcopy(net), set(net.state_dict())
    for training in (False, True):
        script = torch.jit.script(net.train(training))
        expected = other.train(training)(x)
        torch.testing.assert_close(script(x), expected)
        if training:
            script(x + 1)
            other(x + 1)
            moved = statistics(other)
            for key, value in statistics(net).items():  # it is the network's own that have moved
                torch.testing.assert_close(value, moved[key], msg=key)
    assert set(net.state_dict()) == names and net.recurrent_block.__class__ is other.recurrent_block.__class__
    torch.jit.save(torch.jit.script(net.eval()), tmp_path / 'net.pt')
    torch.testing.assert_close(torch.jit.load(tmp_path / 'net.pt')(x[:1]), other.eval()(x[:1]))


def test_gradients_of_a_script():
    net, x = create('kaizen_mfnet2d_n9').train(), images('kaizen_mfnet2d_n9')
    net(x).square().sum().backward()
    expected = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    torch.jit.script(net)(x).square().sum().backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-5, msg=name)


@every_name
def test_fx_computes_the_same(name):
    net, x = create(name).eval(), images(name)
    if name in RECURRENT:
        assert_iterates_differ(net, x)
    tracer = dict(leaf_modules=get_notrace_modules(), param_shapes_constant=True)
    train_nodes, eval_nodes = get_graph_node_names(net, tracer_kwargs=tracer)
    traced = create_feature_extractor(
        net, train_return_nodes=[train_nodes[-1]], eval_return_nodes=[eval_nodes[-1]], tracer_kwargs=tracer
    ).eval()
    expected = net(x)
    assert torch.equal(next(iter(traced(x).values())), expected)
    torch.testing.assert_close(next(iter(torch.jit.script(traced)(x).values())), expected)
    assert torch.equal(net(x), expected)


@pytest.mark.parametrize('training', [True, False])
@small_name
def test_checkpointing_changes_nothing_but_memory(name, training):
    x, results = images(name), []
    for enable in (False, True):
        net, calls = create(name).train(training), []
        net.set_grad_checkpointing(enable)
        net.conv3[0].conv_m1.register_forward_hook(lambda *_: calls.append(1))
        y = net(x)
        y.square().sum().backward()
        assert len(calls) == 1 + enable
        results.append((y, {n: p.grad for n, p in net.named_parameters()}, statistics(net)))
    (y, gradients, moved), (y2, gradients2, moved2) = results
    torch.testing.assert_close(y2, y)
    for key in gradients:
        torch.testing.assert_close(gradients2[key], gradients[key], rtol=1e-4, atol=1e-6, msg=key)
    for key in moved:
        assert torch.equal(moved2[key], moved[key]), key
    assert (moved['tail.bn.num_batches_tracked'] == 1) == training
    assert all(m.track_running_stats for m in net.modules() if isinstance(m, _BatchNorm))


def test_checkpointing_and_two_backward_passes():
    net, x = create('kaizen_mfnet2d_n9').train(), images('kaizen_mfnet2d_n9')
    net.set_grad_checkpointing()
    loss = net(x).square().sum()
    moved = statistics(net)
    loss.backward(retain_graph=True)
    once = net.classifier.weight.grad.clone(), net.conv3[0].conv_m1.conv.weight.grad.clone()
    loss.backward()
    torch.testing.assert_close(net.conv3[0].conv_m1.conv.weight.grad, 2 * once[1])
    assert all(torch.equal(value, moved[key]) for key, value in statistics(net).items())
    net.set_grad_checkpointing(False)
    assert not net.grad_checkpointing


@small_name
def test_groups_of_layers(name):
    net = create(name)
    parameters = {n for n, _ in net.named_parameters()}
    for coarse, count in ((False, 1 + 9 + 1), (True, 1 + 4 + 1)):
        groups = group_parameters(net, net.group_matcher(coarse=coarse))
        assert set().union(*groups.values()) == parameters and len(groups) == count
        assert all(n.startswith('conv1.') for n in groups[0])
        unit = groups[count - 2]
        stage = 'conv5.' if coarse else 'conv5.B02.'
        assert {n for n in parameters if n.startswith((stage, 'tail.'))} == set(unit)
        assert set(groups[count - 1]) == {'classifier.weight', 'classifier.bias'}
        order = [n for index in range(count) for n in groups[index] if n.startswith('conv')]
        assert [n.split('.')[0] for n in order] == sorted(n.split('.')[0] for n in order)


@recurrent_name
def test_no_weight_decay_on_h(name):
    net = create(name, bias=True)
    adapter = {
        f'{n}.adapter.{p}'
        for n, m in net.named_modules()
        if m is net.recurrent_block
        for p, _ in m.adapter.named_parameters()
    }
    assert len(adapter) == 4 and net.no_weight_decay() == adapter
    assert create(name, num_iterations=1).no_weight_decay() == create('mfnet2d_n9').no_weight_decay() == set()
    optimizer = create_optimizer_v2(net, 'sgd', lr=0.1, weight_decay=0.01, layer_decay=0.5)
    names = {id(p): n for n, p in net.named_parameters()}
    settings = {names[id(p)]: group for group in optimizer.param_groups for p in group['params']}
    assert settings.keys() == set(names.values())
    assert all(settings[n]['weight_decay'] == 0 for n in adapter)
    assert settings['conv4.B01.conv_i1.conv.weight']['weight_decay'] == 0.01
    assert (
        settings['conv1.conv.weight']['lr_scale']
        < settings['conv4.B01.conv_i1.conv.weight']['lr_scale']
        < settings[next(iter(adapter))]['lr_scale']
        < settings['classifier.weight']['lr_scale']
        == 1
    )


def test_sizes_of_the_input():
    net = timm.create_model('kaizen_mfnet2d_n9', img_size=96)
    assert net.input_size == (96, 96) and net(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)
    assert timm.create_model('kaizen_mfnet2d_n9', input_size=(96, 128)).input_size == (96, 128)
    assert timm.create_model('kaizen_mfnet3d_n9', img_size=(96, 128)).input_size == (16, 96, 128)
    assert timm.create_model('kaizen_mfnet3d_n9', input_size=(10, 96, 112)).input_size == (10, 96, 112)
    small = torch.zeros(1, 3, 64, 64)
    assert timm.create_model('kaizen_mfnet2d_n9', img_size=64, pool_padding=1)(small).shape == (1, 1000)
    assert timm.create_model('mfnet2d_n9', img_size=96)(small).shape == (1, 1000)  # the plain one takes any
    with pytest.raises(ValueError, match=r'feedback map has shape \(192, 2, 2\) .* build the network for the input'):
        net(small)


@pytest.mark.parametrize(
    'options, error, message',
    [
        (
            dict(img_size=64),
            ValueError,
            r'pool_padding \(0, 0\) does not fit into a feedback map of size \(2, 2\); '
            'use a larger input, a smaller pool_kernel or a larger pool_padding',
        ),
        (dict(num_iterations=0), ValueError, 'num_iterations must be an int from 1 to 1000, got 0'),
        (
            dict(input_size=(16, 96, 96)),
            ValueError,
            r'input_size must be 2 positive ints, \(H, W\), got \(16, 96, 96\)',
        ),
        (dict(img_size=(0, 96)), ValueError, r'img_size must be 2 positive ints, or one for both sides, got \(0, 96\)'),
        (dict(img_size=96, input_size=(96, 64)), ValueError, 'input_size and img_size exclude each other'),
        (
            dict(global_pool='mean'),
            ValueError,
            r"global_pool must be one of \('avg', 'max', 'avgmax', ''\), got 'mean'",
        ),
        (dict(global_pool=''), ValueError, "global_pool='' .* needs num_classes=0, got num_classes=1000"),
        (dict(num_classes=-1), ValueError, 'num_classes must be an int >= 0, got -1'),
        (dict(in_chans=0), ValueError, 'in_chans must be an int >= 1, got 0'),
        (dict(drop_rate=1.5), ValueError, 'drop_rate must be a number from 0 to 1, got 1.5'),
        (
            dict(drop_path_rate=0.1),
            TypeError,
            r"unknown arguments \['drop_path_rate'\]; MFNet takes dims, .*drop_rate.*alpha",
        ),
        (dict(pretrained=True), RuntimeError, 'No pretrained weights exist'),
    ],
)
def test_arguments_that_cannot_be_used(options, error, message):
    with pytest.raises(error, match=message):
        timm.create_model('kaizen_mfnet2d_n9', **options)


def test_arguments_of_methods_that_cannot_be_used():
    net, x = create('mfnet2d_n9'), images('mfnet2d_n9')
    with pytest.raises(ValueError, match="global_pool must be one of .* got 'mean'"):
        net.reset_classifier(3, 'mean')
    with pytest.raises(ValueError, match="global_pool='' .* got num_classes=3"):
        net.reset_classifier(3, '')
    for indices in (0, 6, [5], [-6], [], ['conv1']):
        with pytest.raises(ValueError, match='indices must be'):
            net.forward_intermediates(x, indices)
    with pytest.raises(ValueError, match="output_fmt must be 'NCHW', got 'NLC'"):
        net.forward_intermediates(x, output_fmt='NLC')
    assert net.num_classes == 5 and net(x).shape == (2, 5)


@pytest.mark.parametrize('name', ['mfnet2d_n9', 'mfnet3d_n9'])
def test_a_checkpoint_of_the_plain_network_starts_the_recurrent_one(name, tmp_path):
    plain, x = create(name).eval(), images(name)
    torch.save(plain.state_dict(), tmp_path / 'phase_one.pth')
    options = dict(
        pretrained=True, pretrained_cfg_overlay=dict(file=str(tmp_path / 'phase_one.pth'), num_classes=5), num_classes=5
    )
    again = timm.create_model(name, **options).eval()
    assert torch.equal(again(x), plain(x))
    recurrent = timm.create_model(
        f'kaizen_{name}', input_size=size_of(name), pool_kernel=2, pool_stride=1, **options
    ).eval()
    torch.testing.assert_close(recurrent.forward_iterates(x)[0], plain(x))
    assert recurrent.recurrent_block.adapter.linears[0].weight.any()


@pytest.mark.parametrize('name', ['mfnet2d_n9', 'kaizen_mfnet2d_n9'])
def test_mmaction_recognizer_2d(name):
    pytest.importorskip('mmaction')
    from mmaction.registry import MODELS
    from mmaction.structures import ActionDataSample

    size = dict(img_size=64, pool_padding=1) if name in RECURRENT else {}
    net = MODELS.build(
        dict(
            type='mmaction.Recognizer2D',
            data_preprocessor=dict(type='mmaction.ActionDataPreprocessor'),
            backbone=dict(type=f'timm.{name}', **size),
            cls_head=dict(
                type='mmaction.TSNHead', num_classes=4, in_channels=192, dropout_ratio=0, average_clips='prob'
            ),
        )
    )
    clips = torch.randn(2, 3, 3, 64, 64)  # two videos of three frames
    samples = [ActionDataSample().set_gt_label(i) for i in range(2)]
    net.init_weights()
    loss = net(clips, samples, mode='loss')['loss_cls']
    loss.backward()
    assert loss.isfinite() and net.backbone.conv1.conv.weight.grad.any()
    assert net.backbone.num_classes == 0
    net.eval()
    features, _ = net.extract_feat(clips)
    torch.testing.assert_close(features.flatten(1), net.backbone(clips.flatten(0, 1)))
    assert net(clips, samples, mode='predict')[0].pred_score.shape == (4,)


@pytest.mark.parametrize('name', ['mfnet3d_n9', 'kaizen_mfnet3d_n9'])
def test_mmaction_recognizer_3d(name):
    pytest.importorskip('mmaction')
    from mmaction.registry import MODELS
    from mmaction.structures import ActionDataSample

    size = dict(input_size=[4, 64, 64], pool_kernel=2, pool_stride=1) if name in RECURRENT else {}
    net = MODELS.build(
        dict(
            type='mmaction.Recognizer3D',
            data_preprocessor=dict(type='mmaction.ActionDataPreprocessor'),
            backbone=dict(type=f'timm.{name}', global_pool='', **size),
            cls_head=dict(
                type='mmaction.I3DHead', num_classes=4, in_channels=192, dropout_ratio=0, average_clips='prob'
            ),
        )
    )
    clips = torch.randn(2, 1, 3, 4, 64, 64)
    samples = [ActionDataSample().set_gt_label(i) for i in range(2)]
    loss = net(clips, samples, mode='loss')['loss_cls']
    loss.backward()
    assert loss.isfinite() and net.backbone.conv1.conv.weight.grad.any()
    net.eval()
    assert net.extract_feat(clips)[0].shape == (2, 192, 2, 2, 2)
    assert net(clips, samples, mode='predict')[1].pred_score.shape == (4,)


@pytest.mark.parametrize('name', ['mfnet2d_n9', 'kaizen_mfnet2d_n9'])
def test_mmpretrain_timm_backbone(name):
    pytest.importorskip('mmpretrain')
    from mmpretrain.registry import MODELS

    size, x = dict(img_size=64, pool_padding=1) if name in RECURRENT else {}, images(name)
    config = dict(type='mmpretrain.TIMMBackbone', model_name=name, **size)
    single = MODELS.build(config)
    pyramid = MODELS.build(dict(config, features_only=True, out_indices=(1, 2, 3, 4)))
    single.eval(), pyramid.eval()
    y = single(x)
    assert isinstance(y, tuple) and len(y) == 1 and torch.equal(y[0], single.timm_model.forward_features(x))
    assert [tuple(f.shape[1:]) for f in pyramid(x)] == [(24, 16, 16), (48, 8, 8), (96, 4, 4), (192, 2, 2)]
    state = single.timm_model.state_dict()
    pyramid.timm_model.model.load_state_dict({k: state[k] for k in pyramid.timm_model.model.state_dict()})
    maps = single.timm_model.forward_intermediates(x, [1, 2, 3, 4], intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(pyramid(x), maps, strict=True))


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('name', ['mfnet2d_n9', 'kaizen_mfnet2d_n9'])
def test_mmpretrain_timm_classifier(name, with_cp):
    pytest.importorskip('mmpretrain')
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    size, x = dict(img_size=64, pool_padding=1) if name in RECURRENT else {}, images(name)
    net = MODELS.build(dict(type='mmpretrain.TimmClassifier', model_name=name, num_classes=5, with_cp=with_cp, **size))
    samples = [DataSample().set_gt_label(i) for i in range(2)]
    loss = net(x, samples, mode='loss')['loss']
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None for p in net.parameters())
    assert net.model.grad_checkpointing == with_cp
    # checkpoints have the names of the network's own, and load
    state = {k: v.clone() for k, v in net.state_dict().items()}
    assert set(state) == set(net.model.state_dict())
    other = MODELS.build(dict(type='mmpretrain.TimmClassifier', model_name=name, num_classes=5, **size))
    other.load_state_dict(state)
    predictions = net.eval()(x, samples, mode='predict')
    torch.testing.assert_close(torch.stack([s.pred_score for s in predictions]), other.eval()(x).softmax(dim=1))


def test_a_damaged_file_of_weights_is_refused_by_name(tmp_path):
    path = tmp_path / 'plain.pth'
    network = timm.create_model('mfnet2d_n9', num_classes=2)
    torch.save(network.state_dict(), path)
    flip(path, path.read_bytes().index(network.classifier.weight.detach().numpy().tobytes()))
    with pytest.raises(ValueError, match=f'checkpoint {path} is damaged'):
        timm.create_model(
            'kaizen_mfnet2d_n9',
            num_classes=2,
            img_size=32,
            pool_padding=1,
            pretrained=True,
            pretrained_cfg_overlay=dict(file=str(path), num_classes=2),
        )
