"""MFNet-2D and the MNIST networks as mmpretrain's backbones."""

import pytest
import torch
from mmpretrain.registry import MODELS

from kaizen_mm.models import mfnet2d, mfnet2d_n9
from kaizen_mm.models.mnist_cnn import MnistCNN, MnistCNNBig


def build(kind='MFNet2d', **kwargs):
    return MODELS.build(dict(type=kind, **{'variant': 'mfnet2d_n9', **kwargs}))


def recurrent(**kwargs):
    """For images of 64 px, whose last map of 2 x 2 is smaller than the kernel of h."""
    return build('RecurrentMFNet2d', **{'num_iterations': 3, 'input_size': (64, 64), 'pool_padding': 1, **kwargs})


def images(count=2, size=64):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_parameters_and_names_are_those_of_the_network():
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='MFNet2d'))
        head = MODELS.build(dict(type='LinearClsHead', num_classes=1000, in_channels=768))
        network = mfnet2d()
    assert sum(p.numel() for part in (backbone, head) for p in part.parameters()) == 5_716_488
    names = {name: value.shape for name, value in network.state_dict().items() if not name.startswith('classifier.')}
    assert {name: value.shape for name, value in backbone.state_dict().items()} == names


def test_the_plain_network_gives_a_tuple_of_its_map():
    backbone, network = build().eval(), mfnet2d_n9(num_classes=0).eval()
    network.load_state_dict(backbone.state_dict())
    output = backbone(images())
    assert isinstance(output, tuple) and [y.shape for y in output] == [(2, 192, 2, 2)]
    assert torch.equal(output[0], network.forward_features(images()))


def test_iterates_pass_the_pooling_to_the_head_each():
    backbone = recurrent(alpha=0.1).eval()
    network = mfnet2d_n9(num_iterations=3, input_size=(64, 64), pool_padding=1, alpha=0.1, num_classes=7).eval()
    network.load_state_dict(backbone.state_dict(), strict=False)
    pooled = MODELS.build(dict(type='GlobalAveragePooling'))(backbone(images()))
    assert isinstance(pooled, tuple) and [y.shape for y in pooled] == [(2, 192)] * 3
    for ours, logits in zip(pooled, network.forward_iterates(images())):
        torch.testing.assert_close(network.classifier(ours), logits)
    assert not torch.allclose(pooled[0], pooled[1])


def test_the_recurrent_network_adds_h_and_statistics_alone_and_starts_from_plain_weights():
    plain, one, three = build(), recurrent(num_iterations=1), recurrent()
    assert one.state_dict().keys() == plain.state_dict().keys()
    added = three.state_dict().keys() - plain.state_dict().keys()
    assert added and all('.adapter.' in name or '.iterates.' in name for name in added)
    missing, unexpected = three.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and missing and all('.adapter.' in name for name in missing)
    torch.testing.assert_close(three.eval()(images())[0], plain.eval()(images())[0])


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_pretrained_weights_load(tmp_path, prefix):
    source = mfnet2d_n9(num_classes=7)
    torch.save(dict(state_dict={prefix + k: v for k, v in source.state_dict().items()}), tmp_path / 'net.pth')
    for make in (build, recurrent):
        backbone = make(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'net.pth')))
        backbone.init_weights()
        for name, value in source.state_dict().items():
            assert name.startswith('classifier.') or torch.equal(backbone.state_dict()[name], value), name


def test_channels_last_changes_the_memory_format_alone():
    plain, last = build().eval(), build(channels_last=True).eval()
    last.load_state_dict(plain.state_dict())
    with torch.no_grad():
        (y,), (expected,) = last(images(size=96)), plain(images(size=96))
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
    assert all(z.is_contiguous(memory_format=torch.channels_last) for z in (y, expected))  # the latter on CPUs alone
    weights = [
        net.conv2[0].conv_m1.conv.weight.is_contiguous(memory_format=torch.channels_last) for net in (last, plain)
    ]
    assert weights == [True, False]


@pytest.mark.parametrize(
    'kind, network, options',
    [
        ('MnistCNN', MnistCNN, dict()),
        ('MnistCNN', MnistCNN, dict(num_iterations=3, alpha=0.5)),
        ('MnistCNNBig', MnistCNNBig, dict(num_classes=7)),
    ],
    ids=str,
)
def test_the_networks_for_digits_yield_their_logits(kind, network, options):
    backbone, source = MODELS.build(dict(type=kind, **options)), network(**options)
    source.load_state_dict(backbone.state_dict())
    x = torch.randn(2, 1, 28, 28)
    outputs = backbone(x)
    assert isinstance(outputs, tuple) and len(outputs) == options.get('num_iterations', 1)
    for ours, expected in zip(outputs, source.forward_iterates(x), strict=True):
        assert torch.equal(ours, expected)
    assert backbone.num_classes == outputs[0].shape[1] == options.get('num_classes', 10)


def test_the_digits_network_loads_pretrained_weights(tmp_path):
    source = MnistCNN()
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'net.pth')
    backbone = MODELS.build(
        dict(type='MnistCNN', init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'net.pth')))
    )
    backbone.init_weights()
    assert all(torch.equal(backbone.state_dict()[name], value) for name, value in source.state_dict().items())


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"variant must be one of \('mfnet2d', 'mfnet2d_n9'\), got 'mfnet3d'"):
        build(variant='mfnet3d')
    with pytest.raises(ValueError, match='pool_kernel .3, 3. .* does not fit into a feedback map of size .2, 2.'):
        recurrent(pool_padding=0)
    with pytest.raises(ValueError, match='feedback map has shape .192, 3, 3. .* built for .192, 2, 2.'):
        recurrent()(images(size=96))
    with pytest.raises(ValueError, match='groups must divide'):
        build(groups=5)
