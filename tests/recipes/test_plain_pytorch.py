"""The recipe in plain PyTorch: it learns, resumes to equal weights, and agrees with a loop written out plainly."""

import copy
import math
import multiprocessing
import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kaizen_mm import recurrent
from kaizen_mm.files import file_digest
from kaizen_mm.folder_lock import FolderInUse, locked_folder
from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import CifarResNet
from kaizen_mm.recipes import plain_pytorch
from kaizen_mm.recipes.plain_pytorch import accuracy, parameter_groups, train
from kaizen_mm.surgery import RecurrentNetwork
from tests.layers.reference import pooled_rows

CLASSES = 4


def blobs(samples=64, seed=0, dtype=torch.float):
    """Photos of 8 x 8 pixels: noise, with a bright quarter that is the class."""
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(samples, 3, 8, 8, generator=random, dtype=dtype)
    labels = torch.randint(CLASSES, (samples,), generator=random)
    for image, label in zip(images, labels.tolist()):
        image[:, 4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 0.5
    return TensorDataset(images, labels)


def loader(samples=64, **options):
    return DataLoader(blobs(samples), batch_size=16, **{'shuffle': True, **options})


class Block(nn.Module):
    def __init__(self, norm=True):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()

    def forward(self, x):
        return x + self.norm(self.conv2(torch.tanh(self.conv1(x))))


def network(norm=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), Block(norm), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 4))


def made_recurrent(plain, **options):
    x = torch.zeros(2, 3, 8, 8, dtype=next(plain.parameters()).dtype)
    net = RecurrentNetwork(plain, '1', x, 'conv1', 'norm', pool_kernel=2, **options)
    net.load_state_dict(net.state_dict())
    return net


def adam(net, rate=1e-2):
    return torch.optim.AdamW(parameter_groups(net, rate, rate_of_h=0.05, weight_decay=0.01))


def test_both_phases_learn_and_the_first_weights_stay(tmp_path):
    losses = []
    one = network()
    plain = train(
        one, loader(), tmp_path / 'one.pth', 15, adam(one), decay=0.9, after_epoch=lambda *a: losses.append(a[:2])
    )
    assert [epoch for epoch, _ in losses] == list(range(15)) and losses[-1][1] < losses[0][1] / 2
    assert accuracy(plain, loader()).shape == (1,) and accuracy(plain, loader()).item() > 90
    first = plain[1].conv1.weight.detach().clone()
    net = made_recurrent(copy.deepcopy(plain))
    before = copy.deepcopy(net.state_dict())
    two = train(net, loader(), tmp_path / 'two.pth', 3, adam(net, 5e-3), decay=0.9)
    assert accuracy(two, loader()).shape == (3,) and accuracy(two, loader())[-1] > 90
    after = two.state_dict()
    assert torch.equal(after['1.conv1.weight'], first)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any('.adapter.' in name for name in changed) and '0.weight' in changed and '4.weight' in changed
    assert not two.training and not two.recurrent_block.wrapped.conv1.weight.requires_grad


def test_from_the_start(tmp_path):
    torch.manual_seed(0)
    net = recurrent(network(), torch.zeros(2, 3, 8, 8), quiet=True)
    loss = KaizenLoss(gamma_first=1)
    two = train(net, loader(), tmp_path / 'net.pth', 15, adam(net), loss, decay=0.9)
    assert accuracy(two, loader()).min() > 90


class Stopped(Exception):
    pass


def stop_after(epoch):
    def stop(number, loss, average):
        if number == epoch:
            raise Stopped

    return stop


@pytest.mark.parametrize('options', [{}, dict(num_workers=1), dict(generator=True)])
def test_a_training_that_is_taken_up_again_ends_in_equal_weights(tmp_path, options):
    def batches():
        return loader(**{**options, **({'generator': torch.Generator()} if 'generator' in options else {})})

    def trained(path, **more):
        net = made_recurrent(network())
        return net, train(net, batches(), path, 4, adam(net), **more)

    _, whole = trained(tmp_path / 'whole.pth')
    for epoch in (0, 2):
        with pytest.raises(Stopped):
            trained(tmp_path / 'parts.pth', after_epoch=stop_after(epoch))
        torch.rand(7)  # whatever a process does between
    seen = []
    _, parts = trained(tmp_path / 'parts.pth', after_epoch=lambda epoch, *rest: seen.append(epoch))
    assert seen == [3]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    digest = file_digest(tmp_path / 'parts.pth')
    net, again = trained(tmp_path / 'parts.pth', after_epoch=stop_after(3))  # nothing is left to do
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in whole.state_dict().items())
    assert torch.equal(net.state_dict()['4.weight'], torch.load(tmp_path / 'parts.pth')['network']['4.weight'])
    assert file_digest(tmp_path / 'parts.pth') == digest


def plainly(net, dataset, epochs, batch, rates, momentum, decay, iterations, alpha, gammas, weight):
    """The training of :func:`network` with ``conv1`` dynamic, written out: no autograd engine but ``torch.autograd.
    grad`` of a loss in which every sample has weights of its own, SGD, cosine and averages by their formulas.

    Returns:
        The average of each parameter, by name, ``h`` under ``'h'``.
    """
    values = {name: p.detach().clone().requires_grad_() for name, p in net.items()}
    trained = [name for name in values if name != '1.conv1.weight']
    momenta = {name: torch.zeros_like(values[name]) for name in trained}
    average, step, steps = {}, 0, epochs * len(dataset) // batch
    for _ in range(epochs):
        for start in range(0, len(dataset), batch):
            logits = [[] for _ in range(iterations)]
            labels = []
            for index in range(start, start + batch):
                image, label = dataset[index]
                labels.append(label)
                u = F.conv2d(image, values['0.weight'], values['0.bias'], 2, 1)
                w = values['1.conv1.weight']
                for i in range(iterations):
                    inner = torch.tanh(F.conv2d(u, w, values['1.conv1.bias'], 1, 1))
                    z = F.conv2d(inner, values['1.conv2.weight'], values['1.conv2.bias'], 1, 1)
                    y = (u + z).reshape(4, 2, 2, 2, 2).mean(dim=(2, 4))
                    logits[i].append(values['4.weight'] @ y.flatten() + values['4.bias'])
                    rows = pooled_rows(z, 4, ((2, 2), (1, 1), (0, 0)))
                    w = w + alpha * (rows @ values['h'].T).reshape(w.shape)
            losses = [
                sum(torch.logsumexp(y, 0) - y[label] for y, label in zip(iterate, labels)) / batch for iterate in logits
            ]
            total = losses[-1] + sum(gamma * one for gamma, one in zip(gammas, losses))
            total = total + weight * sum((b - a).clamp(min=0) for a, b in zip(losses, losses[1:]))
            gradients = torch.autograd.grad(total, [values[name] for name in trained])
            share = (1 + math.cos(math.pi * step / steps)) / 2
            with torch.no_grad():
                for name, gradient in zip(trained, gradients):
                    rate, shrink = rates['h' if name == 'h' else 'rest']
                    momenta[name] = momentum * momenta[name] + gradient + shrink * values[name]
                    values[name] -= share * rate * momenta[name]
            with torch.no_grad():
                for name, value in values.items():
                    keep = min(decay, (1 + step) / (10 + step)) if step else 0
                    average[name] = keep * average.get(name, 0) + (1 - keep) * value
            step += 1
    return average


@pytest.mark.parametrize('decay', [0.5, 0])
def test_it_agrees_with_a_plain_loop_in_float64(tmp_path, decay):
    dataset = blobs(32, dtype=torch.float64)
    net = made_recurrent(network(norm=False).double(), alpha=0.05)
    adapter = net.recurrent_block.adapter
    ((name, h),) = adapter.named_parameters()
    torch.nn.init.normal_(h, std=0.1)
    start = {'h': h, **{n: p for n, p in net.state_dict().items() if '.adapter.' not in n}}
    start = {n: p.detach().clone() for n, p in start.items()}
    optimizer = torch.optim.SGD(parameter_groups(net, 0.1, rate_of_h=0.4, weight_decay=0.01), momentum=0.9)
    loss = KaizenLoss(gamma_first=0.3, gamma_others=0.2, kaizen_weight=0.5)
    trained = train(net, DataLoader(dataset, batch_size=8), tmp_path / 'net.pth', 3, optimizer, loss, decay=decay)
    rates = dict(rest=(0.1, 0.01), h=(0.4, 0.0))
    expected = plainly(start, dataset, 3, 8, rates, 0.9, decay, 3, 0.05, (0.3, 0.2), 0.5)
    found = trained.state_dict()
    for n, value in expected.items():
        own = dict(trained.recurrent_block.adapter.named_parameters())[name] if n == 'h' else found[n]
        torch.testing.assert_close(own, value, rtol=1e-9, atol=1e-11)
        assert n == '1.conv1.weight' or not torch.allclose(own, start[n], rtol=1e-4)


def test_one_iterate_and_no_kaizen_loss_are_a_plain_training(tmp_path):
    """The static control: K = 1 is the plain network, step for step."""
    plain, net = network(), made_recurrent(network(), num_iterations=1, freeze_dynamic=False)
    results = [train(n, loader(), tmp_path / f'{i}.pth', 2, adam(n)) for i, n in enumerate((plain, net))]
    x = blobs(8, seed=1).tensors[0]
    assert torch.equal(results[0](x), results[1](x))


def test_the_rates_of_the_groups():
    net = made_recurrent(network())
    rest, h = parameter_groups(net, 1e-3, weight_decay=0.05)
    assert (rest['lr'], rest['weight_decay'], h['lr'], h['weight_decay']) == (1e-3, 0.05, 1e-3, 0)
    assert parameter_groups(net, 1e-3, 0.1)[1]['lr'] == 0.1
    ((_, block),) = recurrent_blocks(net)
    assert {id(p) for p in h['params']} == {id(p) for p in block.adapter.parameters()}
    grouped = [id(p) for p in (*rest['params'], *h['params'])]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters() if p.requires_grad)
    assert id(block.wrapped.conv1.weight) not in grouped
    assert len(parameter_groups(network(), 1e-3)) == 1


def test_averages_keep_what_does_not_move():
    infinite, counts = torch.tensor([-torch.inf, 1.0]), torch.tensor([3])
    moved = plain_pytorch._moved(infinite, torch.tensor([-torch.inf, 2.0]), 0.5, 1000)
    assert torch.equal(moved, torch.tensor([-torch.inf, 1.5]))
    assert torch.equal(plain_pytorch._moved(counts, counts + 1, 0.5, 1000), counts + 1)


def begun(folder, net=None, epochs=2, **options):
    net = network() if net is None else net
    given = dict(batches=loader(), checkpoint=folder / 'net.pth', epochs=epochs, optimizer=adam(net)) | options
    return train(net, **given)


OTHERS = {
    'epochs': dict(epochs=3),
    'batches': dict(batches=loader(32)),
    'decay': dict(decay=0.5),
    'seed': dict(seed=1),
    'loss': dict(loss=KaizenLoss(kaizen_weight=0.2)),
    'iterations': dict(net=made_recurrent(network())),
    'network': dict(net=CifarResNet(8, num_classes=4)),
}


@pytest.mark.parametrize('name', OTHERS)
def test_a_checkpoint_of_another_training_is_named_and_stays(tmp_path, name):
    begun(tmp_path)
    digest = file_digest(tmp_path / 'net.pth')
    with pytest.raises(ValueError, match=rf'^{name}: .*net\.pth is of'):
        begun(tmp_path, **OTHERS[name])
    assert file_digest(tmp_path / 'net.pth') == digest


def test_another_rate_is_another_training(tmp_path):
    begun(tmp_path)
    net = network()
    with pytest.raises(ValueError, match=r'^rates: .*net\.pth is of a training with \[\[0\.01, 0\.01\]\], got'):
        begun(tmp_path, net, optimizer=adam(net, 0.02))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(epochs=0), 'epochs must be an int >= 1'),
        (dict(seed=-1), 'seed must be an int >= 0'),
        (dict(decay=2), 'decay must be a number from 0 to 1'),
        (dict(batches=DataLoader([], batch_size=4)), 'batches must be a DataLoader, or a list, of at least'),
        (dict(batches=(x for x in loader())), 'batches must be a DataLoader, or a list, of at least'),
        (dict(batches=loader(num_workers=1, persistent_workers=True)), 'persistent_workers=False'),
    ],
)
def test_bad_arguments(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        begun(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_an_empty_test_set():
    with pytest.raises(ValueError, match='batches must have at least one sample'):
        accuracy(network(), DataLoader([]))


def test_a_damaged_checkpoint_and_one_of_others(tmp_path):
    path = tmp_path / 'net.pth'
    begun(tmp_path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b''):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r'net\.pth'):
            begun(tmp_path)
        assert path.read_bytes() == damaged
    torch.save(network().state_dict(), path)
    with pytest.raises(ValueError, match=r'was not written by this recipe, it has no \['):
        begun(tmp_path)


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_of_the_epoch_before(tmp_path):
    net = network()

    def poison(epoch, loss, average):
        with torch.no_grad():
            net[4].weight[0, 0] = float('nan')

    with pytest.raises(FloatingPointError, match=r'the loss of epoch 1 is nan; .*net\.pth is as the epoch before'):
        begun(tmp_path, net, after_epoch=poison)
    saved = torch.load(tmp_path / 'net.pth')
    assert saved['epoch'] == 0 and all(value.isfinite().all() for value in saved['network'].values())


def test_a_write_that_fails_leaves_the_checkpoint_of_the_epoch_before(tmp_path, monkeypatch):
    save, written = torch.save, []

    def full(value, file):
        written.append(file)
        save(value, file)
        if len(written) == 2:
            os.truncate(file, 100)
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(OSError, match=r'net\.pth'):
        begun(tmp_path)
    assert torch.load(tmp_path / 'net.pth')['epoch'] == 0
    assert [path.name for path in tmp_path.iterdir()] == ['net.pth']


def hold(folder, held, done):
    with locked_folder(folder):
        held.set()
        done.wait(60)


def test_two_trainings_of_one_folder(tmp_path):
    context = multiprocessing.get_context('fork')
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(FolderInUse):
            begun(tmp_path)
    finally:
        done.set()
        other.join()
