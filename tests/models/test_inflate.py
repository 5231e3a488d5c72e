import pytest
import torch
from torch import nn

from kaizen_mm.models import mfnet2d_n9, mfnet3d_n9
from kaizen_mm.models.inflate import inflate_state_dict


def image_network():
    torch.manual_seed(0)
    net = mfnet2d_n9(num_classes=4)
    net.train()(torch.randn(4, 3, 64, 64) + 1)  # statistics of its own
    return net.double().eval()


@pytest.mark.parametrize('length', [1, 3, 4])
def test_a_convolution_gives_for_a_repeated_frame_what_it_gives_for_the_image(length):
    torch.manual_seed(0)
    flat, deep = nn.Conv2d(3, 4, 3).double(), nn.Conv3d(3, 4, (length, 3, 3)).double()
    deep.load_state_dict(inflate_state_dict(flat.state_dict(), deep.state_dict()))
    image = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    video = image.unsqueeze(2).repeat(1, 1, length + 1, 1, 1)
    torch.testing.assert_close(deep(video), flat(image).unsqueeze(2).repeat(1, 1, 2, 1, 1))
    torch.testing.assert_close(deep.weight.sum(dim=2), flat.weight)
    assert all(torch.equal(deep.weight[:, :, 0], deep.weight[:, :, t]) for t in range(length))


def test_a_network_gives_for_a_repeated_frame_what_it_gives_for_the_image():
    flat, deep = image_network(), mfnet3d_n9(num_classes=4).double().eval()
    inflated = inflate_state_dict(flat.state_dict(), deep.state_dict())
    deep.load_state_dict(inflated)
    image = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = flat.forward_features(image)
        features = deep.forward_features(image.unsqueeze(2).repeat(1, 1, 44, 1, 1))
    assert features.shape == (1, 192, 22, 2, 2)
    # the zeros around the clip reach one frame further with each of the nine units
    inner = features[:, :, 9:-9]
    torch.testing.assert_close(inner, expected.unsqueeze(2).expand_as(inner))
    assert (features[:, :, 0] - expected).abs().max() > 0.01


def test_a_recurrent_network_takes_all_but_its_adapter():
    net = mfnet3d_n9(num_classes=4, num_iterations=2, input_size=(4, 64, 64), pool_kernel=2, pool_stride=1)
    inflated = inflate_state_dict(image_network().float().state_dict(), net.state_dict())
    missing, unexpected = net.load_state_dict(inflated, strict=False)
    assert missing and all('.adapter.' in name for name in missing) and not unexpected
    assert torch.equal(net.tail.wrapped.bn.iterates.running_mean[0], inflated['tail.bn.running_mean'])


def test_names_lose_the_prefix_of_data_parallel_and_unknown_ones_are_left_out():
    weight = torch.randn(4, 3, 3, 3)
    source = {'module.conv.weight': weight, 'module.conv.bias': torch.ones(4), 'head.weight': torch.ones(2)}
    target = {'conv.weight': torch.zeros(4, 3, 2, 3, 3), 'conv.bias': torch.zeros(4), 'tail.weight': torch.zeros(2)}
    inflated = inflate_state_dict(source, target)
    assert set(inflated) == {'conv.weight', 'conv.bias'}
    assert torch.equal(inflated['conv.bias'], torch.ones(4))
    torch.testing.assert_close(inflated['conv.weight'], torch.stack([weight / 2, weight / 2], dim=2))
    assert set(source) == {'module.conv.weight', 'module.conv.bias', 'head.weight'}
    assert source['module.conv.weight'] is weight and not target['conv.bias'].any()


def test_weights_of_the_same_shape_are_taken_as_they_are():
    state = nn.Conv3d(3, 4, 3).state_dict()
    inflated = inflate_state_dict(state, nn.Conv3d(3, 4, 3).state_dict())
    assert all(torch.equal(inflated[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    'source, target',
    [
        ((4, 3, 5, 5), (4, 3, 3, 3, 3)),
        ((4, 2, 3, 3), (4, 3, 3, 3, 3)),
        ((4, 3, 3, 3, 3), (4, 3, 1, 3, 3)),
        ((4, 3, 3, 3, 3), (4, 3, 3, 3)),
        ((5, 7), (4, 7)),
        ((5,), (4,)),
    ],
)
def test_shapes_that_cannot_be_inflated(source, target):
    with pytest.raises(ValueError) as error:
        inflate_state_dict({'stem.weight': torch.zeros(source)}, {'stem.weight': torch.zeros(target)})
    assert f'stem.weight has shape {source} and cannot be inflated to {target}' in str(error.value)


def test_no_name_in_common():
    with pytest.raises(ValueError, match=r"no name in common: .* \['a.weight'\], .* network \['b.weight'\]"):
        inflate_state_dict({'a.weight': torch.zeros(1)}, {'b.weight': torch.zeros(1)})
