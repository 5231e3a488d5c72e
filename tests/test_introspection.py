"""What a recurrence changes, by hand and on networks."""

import pytest
import torch
from torch import nn

from kaizen_mm.introspection import (
    ADVICE,
    FRESH,
    GIVES_ZEROS,
    LITTLE,
    NO_EFFECT,
    NO_STEP,
    READS_ZEROS,
    TOO_SLOW,
    RecurrenceWatch,
    logit_changes,
    prediction_changes,
    recurrence_report,
)
from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.layers.evaluation import evaluation
from kaizen_mm.models import MnistCNN, RecurrentNetwork, kaizen_mfnet2d_n9, mfnet2d_n9


def network(alpha: float, **kwargs) -> RecurrentNetwork:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8)),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    return RecurrentNetwork(
        plain,
        '1',
        example_input=torch.randn(2, 3, 12, 12),
        dynamic='0',
        feedback='1',
        pool_kernel=4,
        pool_stride=4,
        alpha=alpha,
        **kwargs,
    )


def test_changes_by_hand():
    first, second = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 3.0]]), torch.tensor([[1.0, 2.0, 0.0], [1.0, 1.0, 4.0]])
    torch.testing.assert_close(
        logit_changes([first, second]), torch.tensor([[2.0, 0.0]])
    )  # a shift of all changes nothing
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
    assert report.weight_change['1'].shape == (2, 1, 6) and report.layers == {'1': ('0',)}
    assert not report.does_nothing and 'NOTHING' not in str(report) and '1.0' in str(report)


def trained_a_little(net: RecurrentNetwork) -> None:
    """Moves h by next to nothing, as a rate that is too small does."""
    with torch.no_grad():
        for weight in net.recurrent_block.adapter.parameters():
            weight.add_(1e-6)


def zeros(net: RecurrentNetwork) -> None:
    for weight in net.recurrent_block.adapter.parameters():
        nn.init.zeros_(weight)


def zero_norm(net: RecurrentNetwork) -> None:
    nn.init.zeros_(net.recurrent_block.wrapped[1].weight)


@pytest.mark.parametrize(
    'alpha, change, state',
    [
        (1e-9, None, FRESH),
        (0.0, trained_a_little, NO_STEP),
        (1e-9, trained_a_little, TOO_SLOW),
        (0.3, zeros, GIVES_ZEROS),
        (0.3, zero_norm, READS_ZEROS),
        (1e-9, zero_norm, READS_ZEROS),
    ],
)
def test_why_a_recurrence_does_nothing_is_told(alpha, change, state):
    net = network(alpha)
    if change:
        change(net)
    report = recurrence_report(net, torch.randn(6, 3, 12, 12))
    assert report.does_nothing and report.h == {'1': state} and report.why == ADVICE[state]
    assert f'THE RECURRENCE DOES NOTHING. {ADVICE[state]}' in str(report)
    assert ('raise its rate' in str(report)) == (state == TOO_SLOW), 'the rate is named where it is the cause alone'
    assert 'update' not in vars(net.recurrent_block.adapter), 'nothing stays behind'


def test_h_of_another_network_or_of_a_checkpoint_is_not_fresh():
    net = network(1e-9)
    assert net.recurrent_block.adapter_is_fresh()
    torch.manual_seed(1)
    other = RecurrentNetwork(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8))),
        '1',
        example_input=torch.randn(2, 3, 12, 12),
        dynamic='0',
        feedback='1',
        pool_kernel=4,
        pool_stride=4,
    )
    plain = {k: v for k, v in net.state_dict().items() if '.adapter.' not in k}
    net.load_state_dict(plain, strict=False)
    assert net.recurrent_block.adapter_is_fresh(), 'a checkpoint of phase one has no h'
    net.load_state_dict({k: v for k, v in other.state_dict().items() if '.adapter.' in k}, strict=False)
    assert not net.recurrent_block.adapter_is_fresh()
    assert network(1e-9).half().recurrent_block.adapter_is_fresh(), 'whatever the type of its numbers'


@pytest.mark.parametrize(
    'net',
    [mfnet2d_n9(num_classes=3, num_iterations=2, input_size=(64, 64), pool_padding=1), MnistCNN(num_iterations=2)],
    ids=['mfnet', 'mnist'],
)
def test_the_networks_here_are_fresh_when_made(net):
    ((_, block),) = recurrent_blocks(net)
    assert block.adapter_is_fresh()


@pytest.mark.parametrize('alpha, why', [(0.3, NO_EFFECT), (0.01, LITTLE)])
def test_weights_that_change_without_any_effect_do_nothing(alpha, why):
    net = network(alpha)
    nn.init.zeros_(net.get_submodule('wrapped.5').weight)  # the classifier is blind
    report = recurrence_report(net, torch.randn(6, 3, 12, 12))
    change = report.weight_change['1']
    assert change.min() > 0.001 and (change.max() >= 0.1) == (why == NO_EFFECT)
    assert report.does_nothing and report.why == why


def test_several_batches_are_one_report():
    net, x = network(0.3), torch.randn(6, 3, 12, 12)
    whole, watch = recurrence_report(net, x), RecurrenceWatch(net)
    with evaluation(net), watch.watching():
        for batch in x.split(4):
            watch.add(net.forward_iterates(batch))
    parts = watch.report()
    torch.testing.assert_close(parts.weight_change['1'], whole.weight_change['1'])
    torch.testing.assert_close(parts.logit_change, whole.logit_change)
    assert torch.equal(parts.prediction_change, whole.prediction_change) and str(parts) == str(whole)
    assert not parts.why and 'means over 6 samples' in str(parts)


def test_networks_without_a_recurrence_are_refused():
    for net in (mfnet2d_n9(num_classes=3), network(0.1, num_iterations=1)):
        with pytest.raises(ValueError, match='recurrent block with num_iterations >= 2, .* has none'):
            recurrence_report(net, torch.zeros(1, 3, 64, 64))


def test_networks_of_this_package_are_reported_on():
    net = mfnet2d_n9(num_classes=3, num_iterations=3, input_size=(64, 64), pool_padding=1, alpha=0.1)
    report = recurrence_report(net, torch.randn(2, 3, 64, 64))
    assert report.weight_change['conv5.B02'].shape == (2, 2, 2)


@pytest.mark.parametrize(
    'build',
    [
        lambda: kaizen_mfnet2d_n9(adapter='global', num_classes=5),
        lambda: kaizen_mfnet2d_n9(alpha=1e-9, input_size=(64, 64), pool_padding=1, num_classes=5),
    ],
)
def test_what_h_of_an_mfnet_reads_is_seen(build):
    report = recurrence_report(build(), torch.randn(2, 3, 64, 64))
    assert report.does_nothing and report.why == ADVICE[FRESH]
