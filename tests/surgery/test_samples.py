"""Samples that would change each other's weights are found when a network is made recurrent."""

import warnings

import pytest
import torch
from torch import nn

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.surgery import RecurrentNetwork

TOKENS, WIDTH = 5, 8


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x + self.fc2(self.fc1(x).relu())


class Tokens(nn.Module):
    """``[N, L, C]``, laid out for its block by one function and put back by another."""

    def __init__(self, to_block, from_block, block=None):
        super().__init__()
        self.stem, self.block = nn.Linear(WIDTH, WIDTH), block or Mlp()
        self.to_block, self.from_block = to_block, from_block

    def forward(self, x):
        return self.from_block(self.block(self.to_block(self.stem(x))), x)


def swapped(x, *_):
    return x.transpose(0, 1)


def back(y, x):
    return y.reshape(x.shape)


CASES = {
    # legal: samples first, entries of a sample one after the other
    'batch first': (lambda x: x, lambda y, x: y, None),
    'tokens in the batch': (lambda x: x.flatten(0, 1), back, None),
    # samples that mix
    'sequence first': (swapped, swapped, 'must have the samples in the first dimension, but .* goes from shape'),
    'tokens in the batch, sequence first': (
        lambda x: swapped(x).flatten(0, 1),
        lambda y, x: y.reshape(TOKENS, -1, WIDTH).transpose(0, 1),
        "samples influence one another in 'block': the map at 'block' changes",
    ),
    'one entry of the batch read by all': (lambda x: x + x[-1:], lambda y, x: y, 'samples influence one another'),
    'a mean over the batch': (lambda x: x - x.mean(dim=0), lambda y, x: y, 'samples influence one another'),
}


def recurrent(net, samples, **options):
    torch.manual_seed(0)
    layout = dict(feedback_layout='channels_last')
    return RecurrentNetwork(net, 'block', torch.randn(samples, TOKENS, WIDTH), 'fc1', 'fc2', **{**layout, **options})


@pytest.mark.parametrize('samples', [1, 2, TOKENS])
@pytest.mark.parametrize('case', CASES)
def test_layouts_of_tokens(case, samples):
    to_block, from_block, message = CASES[case]
    net = Tokens(to_block, from_block)
    options = dict(feedback_layout='channels_first') if 'tokens in the batch' in case else {}
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        if message is None:
            recurrent(net, samples, **options)
            return
        names = list(net.state_dict())
        with pytest.raises(ValueError, match=message):
            recurrent(net, samples, **options)
    assert list(net.state_dict()) == names and all(p.requires_grad for p in net.parameters()), (
        'nothing has been changed'
    )
    recurrent(net, samples, num_iterations=1, **options)  # a plain network is nobody's harm


def test_what_is_accepted_does_not_mix():
    net = recurrent(Tokens(lambda x: x.flatten(0, 1), back), 2, feedback_layout='channels_first', alpha=1.0).eval()
    x = torch.randn(2, TOKENS, WIDTH)
    with torch.no_grad():
        first, changed = net(x)[0], net(torch.cat([x[:1], x[1:] + 1]))[0]
    assert torch.equal(first, changed)


def test_windows_within_the_block():
    class Windows(nn.Module):
        """Its layers get the tokens of all samples in the batch, sample by sample or token by token."""

        def __init__(self, in_order):
            super().__init__()
            self.fc1, self.fc2, self.in_order = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), in_order

        def forward(self, x):
            if self.in_order:
                return self.fc2(self.fc1(x.flatten(0, 1)).reshape(x.shape))
            return self.fc2(self.fc1(swapped(x).flatten(0, 1)).reshape(TOKENS, -1, WIDTH).transpose(0, 1))

    recurrent(Tokens(lambda x: x, lambda y, x: y, Windows(True)), 2)
    with pytest.raises(ValueError, match="influence one another in 'block': the map at 'block.fc1' changes"):
        recurrent(Tokens(lambda x: x, lambda y, x: y, Windows(False)), 2)


def test_batch_norm_in_training_mode_mixes_nothing():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    ).train()
    RecurrentNetwork(net, '2', torch.randn(2, 3, 6, 6), '0')
    assert net.training and net[1].num_batches_tracked == 0


def test_constant_example_inputs_tell_as_well():
    with pytest.raises(ValueError, match='influence one another'):
        torch.manual_seed(0)
        RecurrentNetwork(
            Tokens(*CASES['tokens in the batch, sequence first'][:2]),
            'block',
            torch.zeros(2, TOKENS, WIDTH),
            'fc1',
            'fc2',
        )


def test_a_network_of_one_batch_size_is_warned_of():
    net = Tokens(lambda x: x.reshape(2, TOKENS, WIDTH), lambda y, x: y)
    with pytest.warns(
        UserWarning, match="Tokens does not take twice the samples .* cannot be told whether samples mix in 'block'"
    ):
        recurrent(net, 2)


def test_random_numbers_before_the_block_are_not_taken_for_samples():
    net = Tokens(lambda x: x + torch.randn(x.shape[1:]), lambda y, x: y)
    recurrent(net, 2)


def test_half_precision_and_indices():
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.block = nn.Embedding(7, WIDTH), Mlp()

        def forward(self, tokens, mask):
            return self.block(self.embedding(tokens) * mask)

    torch.manual_seed(0)
    RecurrentNetwork(
        Embedded().bfloat16(),
        'block',
        (torch.randint(7, (2, TOKENS)), torch.ones(TOKENS, 1).bfloat16()),
        'fc1',
        'fc2',
        feedback_layout='channels_last',
    )


@pytest.mark.parametrize(
    'build, dynamic',
    [
        (lambda **o: nn.TransformerEncoderLayer(WIDTH, 2, WIDTH, **o), 'linear1'),
        (lambda **o: nn.TransformerDecoderLayer(WIDTH, 2, WIDTH, **o), 'linear1'),
        (lambda **o: nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, WIDTH, **o), 1), 'layers.0.linear1'),
    ],
)
def test_transformer_layers_alone(build, dynamic):
    with pytest.raises(ValueError, match='block: .* has batch_first=False, .* build it with batch_first=True'):
        AdaptiveRecurrentBlock(build(), dynamic, (WIDTH, TOKENS), feedback_layout='channels_last')
    AdaptiveRecurrentBlock(build(batch_first=True), dynamic, (WIDTH, TOKENS), feedback_layout='channels_last')


class Sequences(nn.Module):
    """A recurrent network over steps, a block, and a classifier of the last step; or of every step."""

    def __init__(self, batch_first, every_step=False, kind=nn.LSTM, **options):
        super().__init__()
        self.steps = kind(WIDTH, WIDTH, batch_first=batch_first, **options)
        width = WIDTH * (1 + self.steps.bidirectional)
        self.block, self.head = nn.Sequential(nn.Linear(width, width), nn.Tanh()), nn.Linear(width, 3)
        self.every_step = every_step

    def forward(self, x):
        y = self.block(self.steps(x)[0])
        return self.head(y if self.every_step else y[:, -1] if self.steps.batch_first else y[-1])


@pytest.mark.parametrize('samples', [1, 3, TOKENS])
@pytest.mark.parametrize('kind', [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize('every_step', [False, True])
@pytest.mark.parametrize('options', [{}, dict(bidirectional=True)])
def test_networks_whose_input_has_the_steps_first(samples, kind, every_step, options):
    def made(batch_first):
        torch.manual_seed(0)
        x = torch.randn(TOKENS, samples, WIDTH)
        return RecurrentNetwork(
            Sequences(batch_first, every_step, kind, **options), 'block', x, '0', feedback_layout='channels_last'
        )

    made(batch_first=True)
    with pytest.raises(ValueError, match='block: .*batch_first=True'):
        made(batch_first=False)


def test_an_output_that_does_not_follow_the_input_is_refused():
    class Steps(nn.Sequential):
        """Looks at each step alone, and says something of each sample."""

        def forward(self, x):
            return super().forward(x).mean(dim=0)

    net = Steps(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3))
    with pytest.raises(ValueError, match=r'Steps gives outputs of length \[2\] .* and \[2\] for .* twice as long'):
        RecurrentNetwork(net, '1', torch.randn(TOKENS, 2, WIDTH), '', feedback_layout='channels_last')
    net.forward = lambda x: (nn.Sequential.forward(net, x), torch.zeros(7), torch.zeros(()))
    RecurrentNetwork(net, '1', torch.randn(2, WIDTH), '')  # one output of all is enough, such as scores beside anchors


def test_frames_of_a_clip_may_see_each_other():
    class Shifted(nn.Module):
        """Each clip of four frames in the batch; a frame sees the one before."""

        def __init__(self):
            super().__init__()
            self.block, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

        def forward(self, x):
            clips = x.reshape(-1, 4, WIDTH)
            return self.head(self.block((clips + clips.roll(1, dims=1)).flatten(0, 1)))

    RecurrentNetwork(Shifted(), 'block', torch.randn(4, WIDTH), '')
