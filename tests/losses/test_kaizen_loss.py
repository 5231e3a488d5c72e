import copy
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.losses import KaizenLoss

# probability of class 0 of two, for two samples of class 0; mean cross entropies by hand:
# A (0.693147 + 1.386294) / 2 = 1.039721, B 1.386294, C (0.223144 + 0.693147) / 2 = 0.458145,
# D (2.302585 + 0.223144) / 2 = 1.262864
A, B, C, D = (0.5, 0.25), (0.25, 0.25), (0.8, 0.5), (0.1, 0.8)


def logits_of(*iterates):
    """Float64 logits whose softmax has the given probabilities of class 0."""
    p = torch.tensor(iterates, dtype=torch.float64)
    return [torch.stack([q.log(), (1 - q).log()], dim=1) + 3 for q in p]


def random_logits(count, seed=0, classes=5):
    torch.manual_seed(seed)
    return [torch.randn(6, classes, dtype=torch.float64, requires_grad=True) for _ in range(count)], torch.randint(
        classes, (6,)
    )


@pytest.mark.parametrize(
    'iterates, options, expected',
    [
        ((A, C), dict(), 0.458145 + 0.003119),
        ((C, A), dict(), 1.039721 + 0.001374 + 0.058158),
        ((A, A), dict(), 1.039721 + 0.003119),
        ((C, A), dict(kaizen_weight=0), 1.039721 + 0.001374),
        ((A, B, C), dict(), 0.458145 + 0.003119 + 0.001386 + 0.034657),
        ((B, A, C), dict(), 0.458145 + 0.004159 + 0.001040),
        ((C, A, B), dict(), 1.386294 + 0.001374 + 0.001040 + 0.092815),
        ((C, A, B, D), dict(), 1.262864 + 0.001374 + 0.002426 + 0.092815),
        ((B, D, A, C), dict(), 0.458145 + 0.004159 + 0.002303),
        ((A, B, C), dict(gammas=(0.5, 0.25), kaizen_weight=2.0), 0.458145 + 0.519860 + 0.346574 + 0.693146),
        (
            (A, B, C),
            dict(gamma_first=1.0, gamma_others=0.5, kaizen_weight=1),
            0.458145 + 1.039721 + 0.693147 + 0.346573,
        ),
        ((A, D), dict(), 1.262864 + 0.003119 + 0.022314),
        ((A, D), dict(hinge='sample'), 1.262864 + 0.003119 + 0.080472),  # (1.609438 + 0) / 2
        ((D, A), dict(hinge='sample'), 1.039721 + 0.003789 + 0.058158),  # (0 + 1.163151) / 2
    ],
)
def test_equation_5_by_hand(iterates, options, expected):
    loss = KaizenLoss(**options)(logits_of(*iterates), torch.tensor([0, 0]))
    assert loss.shape == () and loss.item() == pytest.approx(expected, abs=3e-6)


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
@pytest.mark.parametrize(
    'options, target, first, last',
    [
        # targets (0.9, 0.1): 0.9 * 0.693147 + 0.1 * 0.693147, 0.9 * 0.223144 + 0.1 * 1.609438
        (dict(label_smoothing=0.2), [0, 0], 0.693147, 0.361773),
        # classes 0 and 1: (2 * 0.693147 + 0.693147) / 3, (2 * 0.223144 + 1.609438) / 3
        (dict(class_weight=[2.0, 1.0]), [0, 1], 0.693147, 0.685242),
        # 0.25 * 0.693147 + 0.75 * 0.693147, 0.25 * 0.223144 + 0.75 * 1.609438
        (dict(), [[0.25, 0.75]] * 2, 0.693147, 1.262865),
    ],
)
def test_other_cross_entropies_by_hand(options, target, first, last, hinge):
    target = torch.tensor(target, dtype=torch.float64 if isinstance(target[0], list) else torch.long)
    loss = KaizenLoss(hinge=hinge, **options)
    logits = logits_of((0.5, 0.5), (0.8, 0.8))
    assert loss.iterate_losses(logits, target).tolist() == pytest.approx([first, last], abs=2e-6)
    worse = max(0, last - first)
    if hinge == 'sample' and 'class_weight' in options:
        worse = (1.609438 - 0.693147) / 3  # the sample of class 1 alone
    assert loss(logits, target).item() == pytest.approx(last + 0.003 * first + 0.1 * worse, abs=2e-6)


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
@pytest.mark.parametrize('options', [dict(), dict(label_smoothing=0.1, class_weight=[1.0, 2, 3, 4, 5])], ids=str)
def test_a_single_iterate_gives_the_cross_entropy(hinge, options):
    (logits,), target = random_logits(1)
    loss = KaizenLoss(hinge=hinge, **options)([logits], target)
    weight = torch.tensor(options['class_weight']).double() if options else None
    expected = F.cross_entropy(logits, target, weight, label_smoothing=options.get('label_smoothing', 0))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits))


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
def test_without_kaizen_weight_it_is_the_weighted_cross_entropy(hinge):
    logits, target = random_logits(3)
    loss = KaizenLoss(kaizen_weight=0, gammas=(0, 0), hinge=hinge)(logits, target)
    expected = F.cross_entropy(logits[2], target)
    torch.testing.assert_close(loss, expected)
    gradients = torch.autograd.grad(loss, logits)
    assert not gradients[0].any() and not gradients[1].any()
    torch.testing.assert_close(gradients[2], torch.autograd.grad(expected, logits[2])[0])
    loss = KaizenLoss(kaizen_weight=0, gammas=(0.5, 0.25), hinge=hinge)(logits, target)
    for gradient, x, gamma in zip(torch.autograd.grad(loss, logits), logits, (0.5, 0.25, 1)):
        torch.testing.assert_close(gradient, gamma * torch.autograd.grad(F.cross_entropy(x, target), x)[0])


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
def test_gradient_of_the_hinges(hinge):
    logits, target = random_logits(4, seed=3)
    each = torch.stack([F.cross_entropy(x, target, reduction='none') for x in logits])
    worse = each[1:] - each[:-1]
    assert (worse > 0).any() and (worse < 0).any() and (worse.mean(1) > 0).any() and (worse.mean(1) < 0).any()
    opened = (
        [[max(0, v) and 1 for v in row] for row in worse.tolist()]
        if hinge == 'sample'
        else [[1 if row.mean() > 0 else 0] * 6 for row in worse]
    )
    expected = (
        each.mean(1)[3]
        + 0.003 * each.mean(1)[0]
        + 0.001 * each.mean(1)[1:3].sum()
        + 0.1 * (worse * torch.tensor(opened)).mean(1).sum()
    )
    loss = KaizenLoss(hinge=hinge)(logits, target)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits))


@pytest.mark.parametrize(
    'count, options',
    [
        (1, dict()),
        (2, dict()),
        (4, dict()),
        (4, dict(kaizen_weight=0)),
        (4, dict(gammas=(0.5, 0.25, 0.125), kaizen_weight=2.0)),
    ],
    ids=str,
)
def test_combine_over_cross_entropies_is_the_loss(count, options):
    logits, target = random_logits(count, seed=3)
    losses = torch.stack([F.cross_entropy(x, target) for x in logits])
    assert count == 1 or ((losses.diff() > 0).any() and (count == 2 or (losses.diff() < 0).any())), (
        'hinges of both kinds'
    )
    combined, loss = KaizenLoss(**options).combine(losses), KaizenLoss(**options)(logits, target)
    torch.testing.assert_close(combined, loss)
    assert combined.shape == ()
    for ours, expected in zip(torch.autograd.grad(combined, logits), torch.autograd.grad(loss, logits)):
        torch.testing.assert_close(ours, expected)


def test_combine_takes_the_losses_of_any_criterion():
    losses = torch.tensor([1.0, 3.0, 2.0, 2.5], dtype=torch.float64, requires_grad=True)
    value = KaizenLoss().combine(losses)
    assert value.item() == pytest.approx(2.5 + 0.003 * 1 + 0.001 * (3 + 2) + 0.1 * (2 + 0.5))
    # of the hinges, those from 1 to 2 and from 3 to 4 are open
    gradient = torch.autograd.grad(value, losses)[0]
    assert gradient.tolist() == pytest.approx([0.003 - 0.1, 0.001 + 0.1, 0.001 - 0.1, 1 + 0.1])
    with pytest.raises(ValueError, match='gammas must have one value for each iterate but the last, 3 here, got 1'):
        KaizenLoss(gammas=(0.1,)).combine(losses)


@pytest.mark.parametrize('options', [dict(), dict(class_weight=[1.0, 2, 3, 4, 5])], ids=str)
def test_half_precision_logits_are_compared_in_single_precision(options):
    logits, target = random_logits(2)
    half = [x.detach().to(torch.bfloat16).requires_grad_() for x in logits]
    loss = KaizenLoss(**options)(half, target)
    assert loss.dtype == torch.float32
    expected = KaizenLoss(**options)([x.detach().float() for x in half], target)
    assert torch.equal(loss, expected)
    assert torch.autograd.grad(loss, half[1])[0].dtype == torch.bfloat16


def test_class_weights_of_arrays_and_tensors():
    """What scikit-learn's compute_class_weight returns is an array."""
    logits, target = [torch.randn(6, 3), torch.randn(6, 3)], torch.tensor([0, 1, 2, 0, 1, 2])
    weight = [0.25, 1.0, 2.0]
    expected = KaizenLoss(class_weight=weight)(logits, target)
    assert expected != KaizenLoss()(logits, target)
    for given in (np.array(weight), np.array(weight, np.float32), torch.tensor(weight), tuple(weight)):
        assert KaizenLoss(class_weight=given)(logits, target) == expected
    for given in (np.array([[1.0]]), torch.tensor(1.0), np.array([1.0, np.nan]), torch.tensor([-1.0]), np.array(['a'])):
        with pytest.raises(ValueError, match='class_weight'):
            KaizenLoss(class_weight=given)


def test_class_weights_add_nothing_to_the_checkpoint():
    assert not KaizenLoss(class_weight=[1.0, 2.0]).state_dict() and not list(KaizenLoss().parameters())


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(hinge='mean'), r"hinge must be one of \('batch', 'sample'\), got 'mean'"),
        (dict(label_smoothing=1.5), r'label_smoothing must be a number from 0 to 1, got 1.5'),
        (dict(gamma_first=-1), 'gamma_first must be a finite number >= 0, got -1'),
        (dict(gamma_others=math.inf), 'gamma_others must be a finite number >= 0, got inf'),
        (dict(kaizen_weight='0.1'), "kaizen_weight must be a finite number >= 0, got '0.1'"),
        (dict(gammas=(0.1, math.nan)), r'gammas\[1\] must be a finite number >= 0, got nan'),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        KaizenLoss(**options)


def test_arguments_that_do_not_fit_the_logits():
    logits, target = random_logits(4)
    with pytest.raises(ValueError, match=r'gammas must have one value for each iterate but the last, 3 here, got 2'):
        KaizenLoss(gammas=(0.1, 0.2))(logits, target)
    with pytest.raises(ValueError, match='class_weight must have one value for each of 5 classes, got 2'):
        KaizenLoss(class_weight=[1.0, 2.0])(logits, target)


ROWS = {
    'negated': lambda rows: -rows,
    'one not a number': lambda rows: rows.index_fill(0, torch.tensor([1]), math.nan),
    'one infinite': lambda rows: rows.index_fill(0, torch.tensor([1]), math.inf),
    'a sum of 2': lambda rows: 2 * rows,
    'scores': lambda rows: rows.log(),
    'zeros, as of a sample without a label': lambda rows: rows * torch.tensor([1.0, 0, 1, 1])[:, None],
    'several labels': lambda rows: (rows > 0.1).float(),
    'a sum of 1 of which one is negative': lambda rows: (
        rows + torch.tensor([0.0, 0, 0, 2])[:, None] * torch.tensor([1.0, -1, 0, 0, 0])
    ),
}


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
@pytest.mark.parametrize('rows', ROWS)
def test_rows_that_are_no_distribution_are_refused(rows, hinge):
    logits, _ = random_logits(2)
    target = ROWS[rows](torch.full((4, 5), 0.2))
    for call in (KaizenLoss(hinge=hinge), KaizenLoss(hinge=hinge).iterate_losses):
        with pytest.raises(ValueError, match=r'target: each row of probabilities must be >= 0 and sum to 1, but row '):
            call([y[:4] for y in logits], target)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_distributions_of_every_precision_are_taken(dtype):
    torch.manual_seed(0)
    target = torch.randn(4, 1000).softmax(dim=1).to(dtype)
    logits = torch.randn(2, 4, 1000, dtype=dtype)
    assert KaizenLoss()(logits, target).isfinite()


def infinite(*finite):
    """``L_i`` of iterates; inf where an iterate says that the one class is impossible."""
    return [torch.tensor([[0.0 if value else -math.inf, 0.5]], requires_grad=True) for value in finite]


L = math.log(1 + math.exp(0.5))


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
@pytest.mark.parametrize(
    'finite, options, expected',
    [
        ((False, True), dict(gamma_first=0), L),  # better than infinite is no worse
        ((False, True), dict(gamma_first=0, kaizen_weight=0), L),
        ((False, False, True), dict(gammas=(0, 0)), L),
        ((True, False, True), dict(gammas=(0, 0), kaizen_weight=0), L),
        ((True, False, True), dict(gammas=(0, 0)), math.inf),
        ((False, True), {}, math.inf),
        ((True, False), dict(gamma_first=0), math.inf),
    ],
)
def test_infinite_losses_count_what_their_weights_say(hinge, finite, options, expected):
    logits = infinite(*finite)
    value = KaizenLoss(hinge=hinge, **options)(logits, torch.zeros(1, dtype=torch.long))
    assert float(value) == pytest.approx(expected)
    if math.isfinite(expected):
        value.backward()
        assert all(y.grad.isfinite().all() for y in logits) and logits[-1].grad.any()


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
def test_what_is_not_a_number_is_never_passed_over(hinge):
    logits = [torch.full((1, 2), math.nan), torch.zeros(1, 2)]
    target = torch.zeros(1, dtype=torch.long)
    assert KaizenLoss(gamma_first=0, hinge=hinge)(logits, target).isnan()
    assert KaizenLoss(gamma_first=0, hinge=hinge, kaizen_weight=0)(logits, target).isnan()


def impossible(*values):
    """Logits of a class that is masked out and of two others."""
    return [torch.tensor([[-math.inf, value, 0.0]] * 2, dtype=torch.float64, requires_grad=True) for value in values]


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
@pytest.mark.parametrize(
    'options, target, weight',
    [
        (dict(), [[0.0, 0.5, 0.5], [0.0, 1.0, 0.0]], None),
        (dict(class_weight=[2.0, 3.0, 1.0]), [[0.0, 0.5, 0.5], [0.0, 1.0, 0.0]], [3.0, 1.0]),
        (dict(class_weight=[0.0, 3.0, 1.0]), [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]], [3.0, 1.0]),
        (dict(class_weight=[0.0, 3.0, 1.0]), [1, 2], [3.0, 1.0]),
    ],
    ids=str,
)
def test_a_class_of_no_weight_that_is_impossible_is_as_if_it_were_not_there(options, target, weight, hinge):
    target, logits = torch.tensor(target), impossible(0.5, -0.5, 1.0)
    value = KaizenLoss(hinge=hinge, **options)(logits, target.double() if target.is_floating_point() else target)
    others = [y.detach()[:, 1:].clone().requires_grad_() for y in logits]
    if target.is_floating_point():
        rows, weights = target.double()[:, 1:], torch.tensor(weight or [1.0, 1.0], dtype=torch.float64)
        each = torch.stack([-(rows * weights * y.log_softmax(1)).sum(1) for y in others])
        losses = each.mean(1)
    else:
        each = torch.stack(
            [F.cross_entropy(y, target - 1, torch.tensor(weight).double(), reduction='none') for y in others]
        )
        losses = each.sum(1) / sum(weight)
    hinges = losses.diff().clamp(min=0)
    if hinge == 'sample':
        hinges = each.diff(dim=0).clamp(min=0)
        hinges = hinges.mean(1) if target.is_floating_point() else hinges.sum(1) / sum(weight)
    expected = losses[2] + 3e-3 * losses[0] + 1e-3 * losses[1] + 0.1 * hinges.sum()
    torch.testing.assert_close(value, expected)
    gradients = torch.autograd.grad(value, logits)
    for own, other in zip(gradients, torch.autograd.grad(expected, others)):
        torch.testing.assert_close(own, F.pad(other, (1, 0)))


@pytest.mark.parametrize('hinge', ['batch', 'sample'])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('make', [impossible, lambda *v: random_logits(3, classes=3)[0]])
def test_labels_of_no_weight_teach_nothing(make, smoothing, hinge):
    logits = make(0.5, -0.5, 1.0)
    loss = KaizenLoss(hinge=hinge, class_weight=[0.0, 1.0, 2.0], label_smoothing=smoothing)
    value = loss(logits, torch.zeros(len(logits[0]), dtype=torch.long))
    assert value == 0 and not any(g.any() or g.isnan().any() for g in torch.autograd.grad(value, logits))


@pytest.mark.parametrize('target', [torch.zeros(0, dtype=torch.long), torch.zeros(0, 3)], ids=['labels', 'rows'])
def test_a_batch_of_no_samples_is_refused(target):
    for call in (KaizenLoss(), KaizenLoss(hinge='sample'), KaizenLoss().iterate_losses):
        with pytest.raises(ValueError, match=r'logits must have at least one sample, got a batch of shape .0, 3.'):
            call([torch.zeros(0, 3)] * 2, target)


def test_class_weights_that_are_all_zero_are_refused():
    with pytest.raises(ValueError, match=r'class_weight must have at least one weight > 0, got \[0.0, 0\]'):
        KaizenLoss(class_weight=[0.0, 0])


class Network(nn.Module):
    """A tiny recurrent network that yields the logits of each iterate."""

    def __init__(self, num_iterations):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(2, 4, 3)
        self.block = AdaptiveRecurrentBlock(
            nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh(), nn.Conv2d(4, 4, 1)),
            '0',
            (4, 2, 2),
            num_iterations=num_iterations,
            alpha=2.0,
        )
        self.classifier = nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        return [self.classifier(y.flatten(2).mean(2)) for y in self.block(self.stem(x).tanh())]


def batch_with_disagreeing_halves(num_iterations, opened):
    """Input and labels; the first hinge is open in the first half, closed in the second.

    Args:
        opened: Whether it is open in the whole batch.
    """
    net = Network(num_iterations)
    for seed in range(200):
        torch.manual_seed(seed)
        x, target = torch.randn(8, 2, 4, 4).double(), torch.randint(3, (8,))
        with torch.no_grad():
            each = torch.stack([F.cross_entropy(y, target, reduction='none') for y in net(x)])
        worse, order = (each[1] - each[0]).sort(descending=True)
        disagree = worse[:4].mean() > 1e-3 and worse[4:].mean() < -1e-3
        if disagree and abs(worse.mean()) > 1e-4 and (worse.mean() > 0) == opened:
            return x[order], target[order]
    raise AssertionError('no such batch')


def gradients_of(net, loss, x, target):
    net.zero_grad()
    value = loss(net(x), target)
    value.backward()
    return value.detach(), [p.grad.clone() for p in net.parameters() if p.requires_grad]


def train_step(rank, folder, cases):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    results = []
    for num_iterations, options, x, target in cases:
        net = DistributedDataParallel(Network(num_iterations))
        half = slice(4 * rank, 4 * rank + 4)
        results.append(gradients_of(net, KaizenLoss(**options), x[half], target[half]))
    torch.save(results, folder / f'{rank}.pt')
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_one_with_the_whole_batch(tmp_path):
    settings = [
        (k, dict(kaizen_weight=1.0, hinge=hinge), opened)
        for k in (2, 3)
        for hinge in ('batch', 'sample')
        for opened in (True, False)
    ]
    cases = [(k, options, *batch_with_disagreeing_halves(k, opened)) for k, options, opened in settings]
    mp.spawn(train_step, (tmp_path, cases), nprocs=2)
    results = zip(*(torch.load(tmp_path / f'{rank}.pt') for rank in (0, 1)))
    for (k, options, x, target), (first, second) in zip(cases, results):
        net, loss = Network(k), KaizenLoss(**options)
        value, expected = gradients_of(net, loss, x, target)
        torch.testing.assert_close((first[0] + second[0]) / 2, value)
        for ours in (first[1], second[1]):
            torch.testing.assert_close(ours, expected)
        # halves that decide for themselves do not give it
        local = [gradients_of(copy.deepcopy(net), loss, x[h], target[h])[1] for h in (slice(4), slice(4, 8))]
        apart = max(((a + b) / 2 - e).abs().max() for a, b, e in zip(*local, expected))
        assert (apart > 1e-4) == (options['hinge'] == 'batch')
