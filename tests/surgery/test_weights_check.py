"""Weights of another network are refused."""

import pytest

from kaizen_mm.models import mfnet2d_n9
from kaizen_mm.surgery.weights_check import check_trained_weights, trained_iterations, weights_difference

SMALL = dict(widths=(8, 8, 8, 16), units=(1, 1, 1, 1), groups=2, num_classes=4)


def network(num_iterations=3, **kwargs):
    return mfnet2d_n9(**{**SMALL, **kwargs}, num_iterations=num_iterations, input_size=(64, 64), pool_padding=1)


def test_the_weights_of_a_training_pass_under_either_name():
    net = network()
    state = net.state_dict()
    check_trained_weights(net, state)
    check_trained_weights(net, {f'module.{name}': value for name, value in state.items()}, dict(num_iterations=3))
    assert weights_difference(net, state) == ([], {}, [], [])


@pytest.mark.parametrize(
    'theirs, ours, message',
    [
        (2, 3, 'was trained with 2 iterations, but the network has num_iterations=3'),
        (3, 2, 'was trained with 3 iterations, but the network has num_iterations=2'),
        (1, 3, 'was trained with 1 iteration, but'),
        (3, 1, 'was trained with 3 iterations, but the network has num_iterations=1'),
    ],
)
def test_another_number_of_iterations(theirs, ours, message):
    with pytest.raises(ValueError, match=message):
        check_trained_weights(network(ours), network(theirs).state_dict())


def test_without_statistics_per_iterate_the_meta_data_tell():
    kwargs = dict(norm_statistics='shared')
    state = network(3, **kwargs).state_dict()
    assert trained_iterations(state) is None and trained_iterations(state, dict(num_iterations=3)) == 3
    check_trained_weights(network(3, **kwargs), state)
    with pytest.raises(ValueError, match='last.pth was trained with 3 iterations'):
        check_trained_weights(network(2, **kwargs), state, dict(num_iterations=3), 'last.pth')
    with pytest.raises(ValueError, match='trained with another number of iterations'):
        check_trained_weights(network(1, **kwargs), state)


def test_another_network():
    with pytest.raises(
        ValueError, match=r'0 tensors are missing \[\], 2 have another shape .*classifier.weight.*\(5, 16\)'
    ):
        check_trained_weights(network(num_classes=4), network(num_classes=5).state_dict())
    with pytest.raises(ValueError, match='of another network: .*1 are unknown .*extra'):
        check_trained_weights(network(), {**network().state_dict(), 'extra': network().state_dict()['tail.bn.weight']})
    with pytest.raises(ValueError, match='tensors are missing'):
        check_trained_weights(network(), {})
