"""Fast weights that are not those of a network, files that hold none, and streams and thresholds of early exit that
cannot be."""

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import torch
from torch import nn

from kaizen_mm.calibration import FORMAT, Calibration, check_calibration, read_calibration
from kaizen_mm.layers import FastWeights
from kaizen_mm.openmmlab.early_exit import predict_with_early_exit
from kaizen_mm.streams import StreamRecognizer
from kaizen_mm.surgery import RecurrentNetwork
from tests.faults.case import Case

X = torch.zeros(3, 4)


def _network(seed: int = 0, **options) -> Any:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    return RecurrentNetwork(network, '0', X, **{'dynamic': '', 'num_iterations': 2, 'alpha': 1.0, **options}).eval()


def _weights(network: Any = None) -> FastWeights:
    return (network or _network()).written_weights(torch.randn(3, 4))


def _once() -> Any:
    network = _network()
    network.num_iterations = 1
    return network


# what is done with a network, its pattern
_HELD: Dict[str, Tuple[Callable[[], Any], str]] = {
    'of another network': (lambda: _weights(_network(1)), 'fast_weights: .* another network'),
    'of another adapter': (lambda: _weights(_network(bound='tanh')), 'fast_weights: .* another network'),
    'of double precision': (lambda: _weights().to(torch.float64), 'fast_weights: they are torch.float64'),
    'on another device': (lambda: _weights().to('meta'), 'fast_weights: they are on meta'),
    'a dictionary': (dict, 'fast_weights must be FastWeights, .* got dict'),
    'a tensor': (lambda: torch.zeros(3), 'fast_weights must be FastWeights, .* got Tensor'),
}


def fast_weights() -> Iterator[Case]:
    def case(name: str, pattern: str, act: Callable[[Path], Any]) -> Case:
        return Case('fast weights', name, 'error', pattern, act)

    for name, (make, pattern) in _HELD.items():
        yield case(f'held: {name}', pattern, lambda folder, make=make: _network()(X, fast_weights=make()))
        yield case(f'step: {name}', pattern, lambda folder, make=make: _network().step(X, make()))
        yield case(f'specialized: {name}', pattern, lambda folder, make=make: _network().specialized(make()))
    yield case(
        'held: of another number of samples',
        'fast_weights: they are for 2 samples, but the block gets 3',
        lambda folder: _network()(X, fast_weights=_weights()[:2]),
    )
    yield case(
        'specialized: of several samples',
        'fast_weights: .* of one sample, these are of 3',
        lambda folder: _network().specialized(_weights()),
    )
    for name, act in {
        'written_weights': lambda folder: _once().written_weights(X),
        'held': lambda folder: _once()(X, fast_weights=_weights()),
        'specialized': lambda folder: _once().specialized(_weights()[0]),
        'early_exit': lambda folder: _once().early_exit(X, threshold=0.5),
    }.items():
        yield case(f'{name}: K = 1', 'has num_iterations=1', act)
    for value in (-0.1, 1.1, float('nan'), None, '0.5', True, [0.5]):
        yield case(
            f'early_exit(threshold={value!r})',
            'threshold must be a number from 0 to 1',
            lambda folder, value=value: _network().early_exit(X, threshold=value),
        )
    yield case(
        'early_exit: training mode',
        'early_exit: the network is in training mode',
        lambda folder: _network().train().early_exit(X, threshold=0.5),
    )
    for name, values in {
        'threshold': (-0.1, 1.1, float('nan'), None, '0.5', True),
        'temperatures': ((0.0,), (-1.0,), (float('nan'),), ('1',), (None,)),
    }.items():
        for value in values:
            yield case(
                f'a calibration of {name}={value!r}',
                f'{name} must be a number from',
                lambda folder, name=name, value=value: check_calibration(
                    Calibration(**{'threshold': 0.5, name: value})
                ),
            )
    yield case(
        'a calibration of another number of iterates',
        'temperatures must be one for each of 3 iterates, got 2',
        lambda folder: check_calibration(Calibration(0.5, (1.0, 1.0)), 3),
    )
    for name, content, pattern in (
        ('empty', '', 'is no JSON'),
        ('another JSON', '{"threshold": 0.5}', 'has no threshold for early exit'),
        ('without a threshold', f'{{"format": "{FORMAT}"}}', 'is damaged: .*threshold'),
        (
            'for another checkpoint',
            f'{{"format": "{FORMAT}", "threshold": 0.5, "temperatures": [], "checkpoint": "a"}}',
            'was chosen for another checkpoint',
        ),
    ):
        yield case(f'--exit-at FILE: {name}', pattern, lambda folder, content=content: _exits(folder, content))
    for model, pattern in (
        (_model(nn.Linear(4, 3)), 'early_exit: Sequential has no recurrent block'),
        (_model(_once()), 'early_exit: Sequential has num_iterations=1'),
        (_model(nn.Sequential(_network())), 'has a Sequential for its backbone, whose later iterates cannot be run'),
    ):
        yield case(
            f'a recognizer whose backbone is a {type(model.backbone).__name__}: {pattern[:40]}',
            pattern,
            lambda folder, model=model: predict_with_early_exit(model, X, [None] * 3, Calibration(0.5)),
        )
    for argument, values in {
        'length': (0, -1, 1.5, None, '16', True),
        'stride': (0, -1, 1.5, '16', True),
        'write': (0, -1, 1.5, None, 'always', True),
        'smoothing': ('median', 0, True),
        'network': (None, 'net', nn.Linear(2, 2)),
    }.items():
        for value in values:
            yield case(
                f'StreamRecognizer({argument}={value!r})',
                rf'\b{argument} must be',
                lambda folder, argument=argument, value=value: StreamRecognizer(
                    **{'network': _network(), argument: value}
                ),
            )
    yield case(
        'a stream shorter than a window',
        'length must be at most the 3 frames of the stream, got 16',
        lambda folder: list(StreamRecognizer(_network(), 16).run(torch.zeros(3, 3, 8, 8))),
    )
    for name, content in {'empty': b'', 'text': b'text', 'cut': None}.items():
        yield case(
            f'load: {name}',
            'w.safetensors is no safetensors file',
            lambda folder, content=content: _load(folder, content),
        )
    yield case('load: no such file', 'none.safetensors', lambda folder: FastWeights.load(folder / 'none.safetensors'))


def _model(backbone: nn.Module) -> Any:
    model = nn.Sequential()
    model.add_module('backbone', backbone)
    return model.eval()


def _exits(folder: Path, content: str) -> Calibration:
    path = folder / 'exits.json'
    path.write_text(content)
    return read_calibration(path, 'b')


def _load(folder: Path, content) -> FastWeights:
    path = folder / 'w.safetensors'
    _weights().save(path)
    path.write_bytes(path.read_bytes()[:-10] if content is None else content)
    return FastWeights.load(path)
