"""The logits that the head of a recognizer or classifier gives in a step, and for the samples of a data set."""

from contextlib import nullcontext
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor


class HeadLogits:
    """Within its context, what the classifier gives is kept, for each iterate.

    Args:
        network: A recognizer of mmaction2 or a classifier of mmpretrain.
    """

    def __init__(self, network: Any):
        head = getattr(network, 'cls_head', None) or network.head
        self._head, self._found = getattr(head, 'wrapped', head), []

    def __enter__(self):
        self._handle = self._head.register_forward_hook(
            lambda head, given, logits: self._found.append(logits.detach().float())
        )
        return self

    def __exit__(self, *error):
        self._handle.remove()

    def take(self, iterates: int) -> List[Tensor]:
        """Those of the last step, ``[N * views, C]`` of each iterate.

        Raises:
            ValueError: The head has been called another number of times.
        """
        found, self._found = self._found, []
        if len(found) != iterates:
            raise ValueError(
                f'{type(self._head).__name__} has been called {len(found)} times for {iterates} iterates; a head '
                'that gives one map of logits for each is needed'
            )
        return found


@torch.no_grad()
def scored(
    network: Any, iterates: int, loader: Iterable, track: Callable = iter, watch: Optional[Any] = None
) -> Iterator[Tuple[list, Tensor]]:
    """The data samples of each batch with their predictions, and the logits ``[N, K, V, C]`` (views: clips, crops).

    Args:
        network: A recognizer of mmaction2 or a classifier of mmpretrain.
        iterates: ``K``.
        loader: Batches of single-label data.
        track: Wraps the batches, such as in a progress bar.
        watch: A :class:`~kaizen_mm.introspection.RecurrenceWatch` of the network.

    Raises:
        ValueError: Samples have no single label, or the head gives no map of logits for each iterate.
    """
    with HeadLogits(network) as logits:
        for batch in track(loader):
            with nullcontext() if watch is None else watch.watching():
                samples = network.test_step(batch)
            found = logits.take(iterates)
            if watch is not None:
                watch.add(found)
            for sample in samples:
                if 'gt_label' not in sample or sample.gt_label.numel() != 1:
                    raise ValueError('the data set must give one label for each sample')
            yield samples, torch.stack(found).unflatten(1, (len(samples), -1)).transpose(0, 1)
