"""What a recurrence changes, by hand and on networks."""
import pytest
import torch
from torch import nn

from kaizen_mm.introspection import logit_changes, prediction_changes, recurrence_report
from kaizen_mm.models import RecurrentNetwork, mfnet2d_n9


def network(alpha: float, **kwargs) -> RecurrentNetwork:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8)), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5))
    return RecurrentNetwork(plain, '1', example_input=torch.randn(2, 3, 12, 12), dynamic='0', feedback='1', pool_kernel=4,
                            pool_stride=4, alpha=alpha, **kwargs)


def test_changes_by_hand():
    first, second = torch.tensor([[1., 0., 0.], [0., 0., 3.]]), torch.tensor([[1., 2., 0.], [1., 1., 4.]])
    torch.testing.assert_close(logit_changes([first, second]), torch.tensor([[2.0, 0.0]]))  # a shift of all changes nothing
    assert prediction_changes([first, second]).tolist() == [[True, False]]
    assert logit_changes([torch.zeros(1, 3), torch.zeros(1, 3)]).item() == 0


def test_the_report_is_that_of_the_iterates():
    net, x = network(0.3).train(), torch.randn(6, 3, 12, 12)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    report = recurrence_report(net, x)
    assert net.training and all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.eval()
    with torch.no_grad():
        iterates = net.forward_iterates(x)
    torch.testing.assert_close(report.logit_change, logit_changes(iterates))
    assert torch.equal(report.prediction_change, prediction_changes(iterates))
    assert report.weight_change['1'].shape == (2, 1, 6) and report.layers == {'1': ('0', )}
    assert not report.does_nothing and 'NOTHING' not in str(report) and '1.0' in str(report)


@pytest.mark.parametrize('alpha', [0., 1e-9])
def test_a_recurrence_that_does_nothing_is_named(alpha):
    report = recurrence_report(network(alpha), torch.randn(6, 3, 12, 12))
    assert report.does_nothing and 'THE RECURRENCE DOES NOTHING' in str(report)


def test_weights_that_change_without_any_effect_do_nothing():
    net = network(0.3)
    nn.init.zeros_(net.get_submodule('wrapped.5').weight)  # the classifier is blind
    report = recurrence_report(net, torch.randn(6, 3, 12, 12))
    assert report.weight_change['1'].min() > 0.001 and report.does_nothing


def test_networks_without_a_recurrence_are_refused():
    for net in (mfnet2d_n9(num_classes=3), network(0.1, num_iterations=1)):
        with pytest.raises(ValueError, match='recurrent block with num_iterations >= 2, .* has none'):
            recurrence_report(net, torch.zeros(1, 3, 64, 64))


def test_networks_of_this_package_are_reported_on():
    net = mfnet2d_n9(num_classes=3, num_iterations=3, input_size=(64, 64), pool_padding=1, alpha=0.1)
    report = recurrence_report(net, torch.randn(2, 3, 64, 64))
    assert report.weight_change['conv5.B02'].shape == (2, 2, 2)
