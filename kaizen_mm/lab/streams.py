"""Accuracy over the windows of a stream, and what a window costs: K passes in each, fast weights that are held or that
go on being written, and static networks.

A way is a function from the windows of streams side by side, and the number of the window with which another scene
begins, where one does, to the probabilities ``[windows, N, classes]``.
"""

import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from kaizen_mm.export import Logits
from kaizen_mm.lab.counting import multiply_adds
from kaizen_mm.lab.stream_clips import SEED, cut, streams
from kaizen_mm.layers import holding, written_weights
from kaizen_mm.streams import StreamRecognizer

Way = Callable[[Sequence[Tensor], Optional[int]], Tensor]
_REPEATS = 5  # of a measured time

STATIC, MEAN = 'static network', 'mean of the windows so far'
CHAIN = 'trained on chains'


def load(config: str | Path | Config, checkpoint: str | Path) -> nn.Module:
    """The recognizer of a config, or its file, with the weights of a checkpoint, in evaluation mode."""
    import kaizen_mm.openmmlab.video  # noqa: F401  its names

    cfg = config if isinstance(config, Config) else Config.fromfile(config)
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.model.data_preprocessor})
    model.load_state_dict(CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')['state_dict'])
    return model.eval()


def ways(networks: Mapping[str, nn.Module]) -> Dict[str, Way]:
    """The ways to look at a stream, by name.

    Args:
        networks: Recognizers by what they are: ``static`` and ``recurrent``; and where they are there, ``attention``
            and ``recurrent_attention``, with one self-attention, ``chain`` and ``static_chain``, trained on chains of
            windows.
    """
    static, recurrent = networks['static'], networks['recurrent']
    found: Dict[str, Way] = {
        STATIC: _each(static),
        f'{STATIC}, {MEAN}': _so_far(_each(static)),
        f'{STATIC}, all frames so far in one clip': _together(static),
        'one pass': _each(recurrent, 0),
        'K passes in each window': _each(recurrent),
        'written in the first window and held': _stream(recurrent),
        f'written in the first window and held, {MEAN}': _so_far(_stream(recurrent)),
        'written in every second window': _stream(recurrent, 2),
        'written in every fourth window': _stream(recurrent, 4),
        'written in the first window and at the cut': _stream(recurrent, 'cuts'),
        "held, of another stream's first window": _of_another(recurrent),
        'written in each window, not trained for it': _stream(recurrent, rewrite=1),
    }
    if 'attention' in networks:
        found['self-attention, one pass'] = _each(networks['attention'])
    if 'recurrent_attention' in networks:
        found['self-attention and K passes'] = _each(networks['recurrent_attention'])
        found['self-attention, written in the first window and held'] = _stream(networks['recurrent_attention'])
    if 'static_chain' in networks:
        found[f'{CHAIN}: {STATIC}'] = _each(networks['static_chain'])
        found[f'{CHAIN}: {STATIC}, {MEAN}'] = _so_far(_each(networks['static_chain']))
    if 'chain' in networks:
        chain = networks['chain']
        found[f'{CHAIN}: one pass'] = _each(chain, 0)
        found[f'{CHAIN}: K passes in each window'] = _each(chain)
        found[f'{CHAIN}: K passes in each window, {MEAN}'] = _so_far(_each(chain))
        found[f'{CHAIN}: written in the first window and held'] = _stream(chain)
        found[f'{CHAIN}: written in each window'] = _stream(chain, rewrite=1)
        found[f'{CHAIN}: written in every fourth window'] = _stream(chain, rewrite=4)
        found[f'{CHAIN}: written in each window, K passes at the cut'] = _stream(chain, 'cuts', 1)
    return found


_KINDS = {  # of streams: words in the names of ways that are not looked at there
    'accuracy': ('at the cut',),
    'accuracy, cut in the middle': ('another', 'clip', 'every', 'one pass', 'attention', 'not trained'),
    'accuracy, another motion from the middle on': (
        *('another', 'clip', 'fourth', 'one pass', 'attention', 'not trained'),
        'at the cut',
    ),
}


@torch.no_grad()
def measure(
    networks: Mapping[str, nn.Module],
    clips: int = 400,
    windows: int = 12,
    seed: int = SEED,
    known: Optional[Dict[str, Any]] = None,
) -> Dict[str, Any]:
    """Accuracies in percent by window, how many streams they are of, and what a window costs.

    Args:
        networks: See :func:`ways`.
        clips: How many streams are drawn. Default 400, of which 300 are of classes that a window tells.
        windows: Of each. Default 12.
        seed: Of the streams. Default that of the result.
        known: What was found before, of the same networks and streams: these ways are not measured again.
    """
    every, known = ways(networks), known or {}
    of_kind = {
        kind: {name: way for name, way in every.items() if not any(word in name for word in without)}
        for kind, without in _KINDS.items()
    }
    new = {kind: {n: w for n, w in own.items() if n not in known.get(kind, {})} for kind, own in of_kind.items()}
    right: Dict[str, Dict[str, List[Tensor]]] = {kind: {} for kind in _KINDS}
    counted, one = (0, []) if any(new.values()) else (known['streams'], [])
    for changing in (False, True) if any(new.values()) else ():
        for frames, labels in streams(clips, windows, seed=seed, changing=changing):
            x = [normalized(networks['recurrent'], window) for window in frames]
            counted, one = counted + (not changing) * labels.shape[1], [window[:1] for window in x]
            for kind in list(_KINDS)[2:] if changing else list(_KINDS)[:2]:
                at_cut = kind.endswith('cut in the middle')
                seen, truth = cut(x, labels) if at_cut else (x, labels)
                for name, way in new[kind].items():
                    found = way(seen, windows // 2 if at_cut else None)
                    hits = (found.argmax(dim=2) == truth).float()
                    hits[found.isnan().any(dim=2)] = float('nan')
                    right[kind].setdefault(name, []).append(hits)
    accuracies: Dict[str, Any] = {}
    for kind, own in of_kind.items():
        found = {name: _percent(torch.cat(hits, dim=1).mean(dim=1)) for name, hits in right[kind].items()}
        accuracies[kind] = {name: found.get(name) or known[kind][name] for name in own}
    costs = {name: _cost(way, one) for name, way in new['accuracy'].items() if 'another' not in name}
    costs = {name: {**known.get('costs', {}), **costs}[name] for name in of_kind['accuracy'] if 'another' not in name}
    return {'streams': counted, 'windows': windows, **accuracies, 'costs': costs}


def normalized(model: Any, frames: Tensor) -> Tensor:
    """Frames as a recognizer's data preprocessor gives them."""
    mean, std = (value.flatten()[0].cpu() for value in (model.data_preprocessor.mean, model.data_preprocessor.std))
    return (frames.float() - mean) / std


def _cost(way: Way, windows: Sequence[Tensor]) -> Dict[str, float]:
    """Multiply-adds, and milliseconds of CPU time, of a window in the mean over the windows of one stream."""
    way(windows, None)
    times = []
    for _ in range(_REPEATS):
        start = time.process_time()
        way(windows, None)
        times.append(time.process_time() - start)
    count = multiply_adds(lambda: way(windows, None))
    return dict(multiply_adds=count / len(windows), ms=1e3 * statistics.median(times) / len(windows))


def _each(network: nn.Module, iterate: int = -1) -> Way:
    """Each window by itself."""
    if iterate == -1:
        scores = Logits(network)
        return lambda windows, at: _probabilities(scores(window) for window in windows)
    iterates = Logits(network, all_iterates=True)
    return lambda windows, at: _probabilities(iterates(window)[iterate] for window in windows)


def _stream(network: nn.Module, write: Any = 'never', rewrite: Optional[int] = None) -> Way:
    """By a :class:`~kaizen_mm.streams.StreamRecognizer`."""

    def way(windows, at):
        recognizer = StreamRecognizer(network, write=write, rewrite=rewrite)
        scores = [recognizer.window(x, cut=0 if index == at else None).scores for index, x in enumerate(windows)]
        return _probabilities(score.view(len(windows[0]), -1) for score in scores)  # of one stream they are [classes]

    return way


def _so_far(way: Way) -> Way:
    """The mean of the probabilities of the windows so far."""

    def mean(windows, at):
        counts = torch.arange(1, len(windows) + 1).view(-1, 1, 1)
        return way(windows, at).cumsum(dim=0) / counts

    return mean


def _together(network: nn.Module) -> Way:
    """All frames so far as one clip."""
    scores = Logits(network)
    return lambda windows, at: _probabilities(
        scores(torch.cat(list(windows[: index + 1]), dim=2)) for index in range(len(windows))
    )


def _of_another(network: nn.Module) -> Way:
    """With what the first window of the next stream has written; NaN in the first window."""

    def way(windows, at):
        scores = Logits(network)
        order = list(range(1, len(windows[0]))) + [0]
        with holding(scores, written_weights(scores, windows[0])[order]):
            found = _probabilities(scores(window) for window in windows)
        found[0] = float('nan')
        return found

    return way


def _probabilities(scores) -> Tensor:
    return torch.stack([score.float().softmax(dim=1) for score in scores])


def _percent(shares: Tensor) -> List[Any]:
    return [None if share != share else round(100 * share, 2) for share in shares.tolist()]
