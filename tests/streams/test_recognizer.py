"""A recognizer on a stream, against a plain loop over its windows."""

import pytest
import torch

from kaizen_mm.models import BagNet
from kaizen_mm.streams import StreamRecognizer
from kaizen_mm.surgery import RecurrentNetwork

LENGTH = 4


def networks(num_iterations=3):
    """A recurrent network of clips ``[N, 3, 4, 8, 8]`` whose iterates differ."""
    torch.manual_seed(0)
    plain = BagNet(dims=3, num_classes=5, stem=(8, 4, 4), widths=(8, 8)).double()
    net = RecurrentNetwork(
        plain,
        'block2',
        torch.randn(1, 3, LENGTH, 8, 8, dtype=torch.float64),
        'conv1',
        'bn2',
        num_iterations,
        alpha=0.5,
    ).train()
    for i in range(2):
        net.forward_iterates(torch.randn(4, 3, LENGTH, 8, 8, dtype=torch.float64) * (i + 1))
    return net.eval()


def stream(frames, seed=1):
    torch.manual_seed(seed)
    return torch.randn(frames, 3, 8, 8, dtype=torch.float64)


def window(frames, start):
    return frames[start : start + LENGTH].transpose(0, 1)[None]


def expected(net, frames, starts, writes):
    """Scores of the windows, weights being written in those that are said."""
    results = []
    for start, write in zip(starts, writes):
        x = window(frames, start)
        with torch.no_grad():
            if write:
                held = net.written_weights(x)
                results.append(net(x)[0])
            else:
                results.append(net(x, fast_weights=held)[0])
    return results


@pytest.mark.parametrize('stride', [None, 1, 3, 6])
@pytest.mark.parametrize(
    'write, writes',
    [('never', lambda n: n == 0), (1, lambda n: True), (3, lambda n: n % 3 == 0), ('cuts', lambda n: n == 0)],
)
def test_it_equals_a_loop_over_windows(write, writes, stride):
    net, frames = networks(), stream(30)
    starts = list(range(0, 30 - LENGTH + 1, stride or LENGTH))
    recognizer = StreamRecognizer(net, LENGTH, stride, write)
    found = list(recognizer.run(frames))
    wanted = expected(net, frames, starts, [writes(n) for n in range(len(starts))])
    assert [f.index for f in found] == list(range(len(starts)))
    assert [f.wrote for f in found] == [writes(n) for n in range(len(starts))]
    assert [f.passes for f in found] == [3 if f.wrote else 1 for f in found]
    for one, scores in zip(found, wanted):
        torch.testing.assert_close(one.scores, scores, rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(one.probabilities, scores.float().softmax(dim=0))


@pytest.mark.parametrize(
    'stride, cut, writes',
    [
        (4, 8, [0, 2]),  # at the start of the window of frames 8 to 11
        (4, 9, [0, 2, 3]),  # within it: the next one is the first without the old scene
        (4, 11, [0, 2, 3]),
        (2, 9, [0, 3, 4, 5]),  # windows 6-9 and 8-11 hold both
        (6, 11, [0, 2]),  # in the gap between two windows
        (4, 0, [0]),
    ],
)
def test_a_cut_lets_weights_be_written_anew(stride, cut, writes):
    net, frames = networks(), stream(24)
    recognizer = StreamRecognizer(net, LENGTH, stride, 'cuts', smoothing='mean')
    found = [recognizer.frame(frame, cut=n == cut) for n, frame in enumerate(frames)]
    found = [one for one in found if one is not None]
    starts = list(range(0, 24 - LENGTH + 1, stride))
    assert [one.index for one in found if one.wrote] == writes
    scores = expected(net, frames, starts, [n in writes for n in range(len(starts))])
    told = next(n for n, start in enumerate(starts) if start + LENGTH > cut)  # the window that reaches the cut
    for n, one in enumerate(found):
        torch.testing.assert_close(one.scores, scores[n], rtol=1e-11, atol=1e-12)
        since = scores[told if n >= told else 0 : n + 1]
        mean = torch.stack([s.float().softmax(dim=0) for s in since]).mean(dim=0)
        torch.testing.assert_close(one.probabilities, mean)


def test_windows_may_be_given_whole():
    net, frames = networks(), stream(16)
    by_frames = list(StreamRecognizer(net, LENGTH).run(frames))
    recognizer = StreamRecognizer(net, LENGTH)
    for n, one in enumerate(by_frames):
        assert torch.equal(recognizer.window(window(frames, LENGTH * n)).scores, one.scores)
    recognizer.reset()
    assert recognizer.window(window(frames, 4)).wrote, 'the stream is forgotten'


def test_streams_side_by_side_have_weights_of_their_own():
    net, one, other = networks(), stream(12), stream(12, seed=2)
    both = StreamRecognizer(net, LENGTH)
    alone = [list(StreamRecognizer(net, LENGTH).run(frames)) for frames in (one, other)]
    for n in range(3):
        found = both.window(torch.cat([window(one, LENGTH * n), window(other, LENGTH * n)]))
        for m in range(2):
            torch.testing.assert_close(found.scores[m], alone[m][n].scores, rtol=1e-11, atol=1e-12)
    with pytest.raises(ValueError, match='they are for 2 samples, but the block gets 1'):
        both.window(window(one, 0))


@pytest.mark.parametrize('write', ['never', 2, 'cuts'])
def test_a_plain_network_writes_nothing(write):
    net, frames = networks().specialized(networks().written_weights(window(stream(4), 0))), stream(12)
    found = list(StreamRecognizer(net, LENGTH, write=write, smoothing='mean').run(frames))
    assert not any(one.wrote for one in found) and {one.passes for one in found} == {1}
    with torch.no_grad():
        for n, one in enumerate(found):
            assert torch.equal(one.scores, net(window(frames, LENGTH * n))[0])


def test_a_network_of_one_iteration_is_plain():
    net, frames = networks(), stream(8)
    net.num_iterations = 1
    assert not any(one.wrote for one in StreamRecognizer(net, LENGTH).run(frames))


def test_what_is_kept_does_not_grow():
    net = networks(2)
    recognizer = StreamRecognizer(net, LENGTH, 2, 3, smoothing='mean')

    def kept():
        tensors = [recognizer._mean.total, *recognizer._frames]
        for block in recognizer.fast_weights.blocks:
            tensors += [t for increment in block.values() for t in (increment.per_sample, increment.basis)]
            assert not any(increment.cache for increment in block.values())
        assert not any(t.requires_grad for t in tensors)
        return sum(t.numel() for t in tensors), len(vars(recognizer)), len(vars(recognizer._policy))

    sizes = set()
    for n, frame in enumerate(stream(60)):
        recognizer.frame(frame)
        if n >= LENGTH:
            sizes.add(kept())
    assert len(sizes) == 1


def test_frames_are_taken_one_window_ahead_at_most():
    taken = []

    def frames():
        for n, frame in enumerate(stream(12)):
            taken.append(n)
            yield frame

    run = StreamRecognizer(networks(2), LENGTH).run(frames())
    for n in range(3):
        next(run)
        assert len(taken) == LENGTH * (n + 1)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(length=0), 'length must be an int >= 1, got 0'),
        (dict(stride=0), 'stride must be an int >= 1, got 0'),
        (dict(write=0), 'write must be an int >= 1, got 0'),
        (dict(write='always'), "write must be 'never', 'cuts' or a number of windows, an int >= 1, got 'always'"),
        (dict(write=1.5), 'write must be .* got 1.5'),
        (dict(write=True), 'write must be .* got True'),
        (dict(smoothing='median'), r"smoothing must be one of \(None, 'mean'\), got 'median'"),
        (dict(network=torch.nn.Linear(2, 2)), 'network must be .* in evaluation mode, got one in training mode'),
        (dict(network=print), 'network must be a torch.nn.Module in evaluation mode, got <built-in'),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        StreamRecognizer(**{'network': torch.nn.Linear(2, 2).eval(), **options})


def test_streams_that_cannot_be_used():
    recognizer = StreamRecognizer(networks(2), LENGTH)
    with pytest.raises(ValueError, match='length must be at most the 3 frames of the stream, got 4'):
        list(recognizer.run(stream(3)))
    with pytest.raises(ValueError, match=r'frame must be a tensor of shape \(3, 8, 8\), .* got \(3, 9, 8\)'):
        recognizer.frame(torch.zeros(3, 9, 8))
    with pytest.raises(ValueError, match=r'frame must be a tensor .* got ndarray'):
        recognizer.frame(stream(1)[0].numpy())
    with pytest.raises(ValueError, match='cut must be an int >= 0, got -1'):
        recognizer.window(window(stream(4), 0), cut=-1)
