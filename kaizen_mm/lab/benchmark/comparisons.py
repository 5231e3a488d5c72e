"""Plain and recurrent side by side: ``block``, ``network``, ``train`` and ``stream``; and ``memory``."""

import copy
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kaizen_mm.lab.counting import peak_memory

from .cases import BLOCKS, NETWORKS, STREAMS, Case, chosen
from .conditions import Conditions
from .sides import check_close, check_equal, compare, loss_of, outputs_of, passes


def against_plain(
    how: Conditions,
    kind: str,
    names: Iterable[str] | None = None,
    iterations: Sequence[int] | None = None,
    batches: Sequence[int] | None = None,
) -> Iterable[dict[str, Any]]:
    """The records of all cases, one by one.

    Args:
        how: Conditions.
        kind: ``'block'``, forward, and forward and backward with fixed gradients; ``'network'``, inference, the last
            iterate alone and all of them; ``'train'``, a step of training: forward, loss of eq. 5, backward, AdamW.
        names: Of cases; None for all. See :func:`~kaizen_mm.lab.benchmark.cases.chosen`.
        iterations: The K; None for those of the cases.
        batches: The N; None for those of the cases.

    Raises:
        ValueError: There is no such case.
        RuntimeError: Two sides do not compute the same.
    """
    works = dict(block=('train', 'inference'), network=('inference',), train=('train step',))[kind]
    loss = loss_of if kind == 'train' else None
    for case in chosen(BLOCKS if kind == 'block' else NETWORKS, names, how.quick):
        for k, batch in itertools.product(iterations or [case.iterations], batches or [_batch(case, how)]):
            plain, recurrent, shape = _pair(case, k)
            x = torch.randn(batch, *shape)
            for work in works:
                train = work != 'inference'
                sides = [passes('plain', plain, x, train, how, loss=loss)]
                sides.append(passes('recurrent', recurrent, x, train, how, loss=loss))
                if kind == 'network':
                    sides.append(passes('all iterates', recurrent, x, train, how, forward=outputs_of))
                if how.compile:
                    sides.append(passes('compiled', recurrent, x, train, how, compiled=True, loss=loss))
                about = dict(case=case.title, batch=batch, K=k, work=work)
                yield from (dict(about, **record) for record in compare(sides, how, batch))


def _batch(case: Case, how: Conditions) -> int:
    return 2 if how.quick else case.batch


def _pair(case: Case, iterations: int) -> tuple[nn.Module, Any, tuple[int, ...]]:
    """The modules of a case and the shape of a sample, once it is seen that they compute the same."""
    torch.manual_seed(0)
    plain, recurrent, shape = case.build(iterations)
    check_equal(plain, recurrent, (2, *shape))
    return plain, recurrent, shape


def stream(how: Conditions, names: Iterable[str] | None = None) -> Iterable[dict[str, Any]]:
    """What a window of a stream costs, with weights that are written in it, held, or merged into a network. For early
    exit there are several windows, of which half leave after one pass.

    Args:
        how: Conditions.
        names: Of :data:`~kaizen_mm.lab.benchmark.cases.STREAMS`; None for all.

    Raises:
        ValueError: There is no such case.
        RuntimeError: Two sides do not compute the same.
    """
    for case in chosen(STREAMS, names, how.quick):
        plain, recurrent, shape = _pair(case, case.iterations)
        recurrent.eval()
        batch = _batch(case, how)
        windows = torch.randn(batch, *shape)
        with torch.no_grad():
            _check_held_weights(recurrent, windows[:1])
            written = recurrent.written_weights(windows[:1])
            confidence = outputs_of(recurrent, windows)[0].softmax(dim=1).amax(dim=1).sort().values
        held, half = written.to(how.device), batch // 2
        threshold = confidence[half - 1 : half + 1].mean().item()  # between two windows, whatever rounds
        both = [('plain', plain, None), ('recurrent', recurrent, None)]
        ways = {
            1: [
                ('fast weights', recurrent, lambda network, x, held=held: network(x, fast_weights=held)),
                ('specialized', recurrent.specialized(written), None),
            ],
            batch: [
                ('early exit, half', recurrent, lambda network, x, t=threshold: network.early_exit(x, threshold=t)[0])
            ],
        }
        for count, others in ways.items():
            sides = [passes(name, m, windows[:count], False, how, forward=way) for name, m, way in (*both, *others)]
            about = dict(case=case.title, batch=count, K=case.iterations, work='inference')
            yield from (dict(about, **record) for record in compare(sides, how, count, memory=False))


def _check_held_weights(recurrent: Any, window: Tensor) -> None:
    network, window = copy.deepcopy(recurrent).double(), window.double()
    written, wanted = network.written_weights(window), network(window)
    check_close('fast weights', [network(window, fast_weights=written)], [wanted])
    check_close('specialized', [network.specialized(written)(window)], [wanted])


def memory(how: Conditions, names: Iterable[str] | None = None, most_iterations: int = 4) -> Iterable[dict[str, Any]]:
    """Peak memory of a step of training for K = 1 .. ``most_iterations``, with and without gradient checkpointing where
    the network has it. K = 1 is the plain network.

    Args:
        how: Conditions.
        names: Of :data:`~kaizen_mm.lab.benchmark.cases.NETWORKS`; None for all.
        most_iterations: The largest K. Default 4.

    Raises:
        ValueError: There is no such case.
    """
    for case in chosen(NETWORKS, names, how.quick):
        for k in range(1, most_iterations + 1):
            _, network, shape = case.build(k)
            x = torch.randn(_batch(case, how), *shape)
            for checkpointing in (False, True)[: 1 + hasattr(network, 'grad_checkpointing')]:
                network.grad_checkpointing = checkpointing
                side = passes('recurrent', network, x, True, how, loss=loss_of)
                peak = round(peak_memory(side.call, how.device, side.after) / 2**20, 2)
                yield dict(case=case.title, batch=len(x), K=k, checkpointing=checkpointing, peak_mib=peak)
