"""What a config's network makes of every sample of its test set."""

from pathlib import Path
from typing import Callable, Iterable, List, Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor

from kaizen_mm.introspection import RecurrenceWatch
from kaizen_mm.openmmlab.inference import ConfigPredictor
from kaizen_mm.report import Outcomes


def evaluate(
    config: str | Path | Config,
    checkpoint: str,
    cfg_options: Optional[dict] = None,
    device: Optional[str] = None,
    track: Callable[[Iterable], Iterable] = iter,
) -> Outcomes:
    """Runs a trained network over the test set of its config.

    Args:
        config: The config or its file.
        checkpoint: Its weights.
        cfg_options: Entries put over the config's.
        device: Default a GPU where there is one.
        track: Wraps the batches, such as in a progress bar.

    Raises:
        ValueError: See :class:`~kaizen_mm.openmmlab.inference.ConfigPredictor`; or samples have no single label, or the
            test set has its classes in another order than the checkpoint.
    """
    predictor = ConfigPredictor(config, checkpoint, device=device, cfg_options=cfg_options)
    network = predictor.network
    with DefaultScope.overwrite_default_scope(predictor.config.default_scope):
        loader = Runner.build_dataloader(predictor.config.test_dataloader, seed=0)
    watch = RecurrenceWatch(network) if predictor.num_iterations > 1 else None
    scores, labels, files = [], [], []
    with _Logits(network, predictor.num_iterations) as logits, torch.no_grad():
        for batch in track(loader):
            if watch is None:
                samples = network.test_step(batch)
            else:
                with watch.watching():
                    samples = network.test_step(batch)
            iterates = logits.take()  # [K, N * clips, C]
            if watch is not None:
                watch.add(iterates)
            probabilities = torch.stack(iterates).softmax(dim=2)
            # [K, N * clips, C] -> [N, K, C]
            probabilities = probabilities.unflatten(1, (len(samples), -1)).mean(dim=2).transpose(0, 1)
            scores.append(probabilities.double().cpu().numpy())
            for sample in samples:
                if 'gt_label' not in sample or sample.gt_label.numel() != 1:
                    raise ValueError('test_dataloader.dataset must give one label for each sample')
                labels.append(int(sample.gt_label))
                files.append(_file(sample, loader.dataset, len(files)))
    return Outcomes(
        np.concatenate(scores),
        labels,
        _names(predictor.names, loader.dataset),
        files,
        watch.report() if watch else None,
        _Pixels(loader.dataset, network.data_preprocessor),
    )


class _Pixels:
    """The pictures of data in memory, as they come out of the pipeline."""

    def __init__(self, dataset, preprocessor):
        self._dataset, self._bgr = dataset, getattr(preprocessor, 'to_rgb', False)

    def __call__(self, sample: int) -> Optional[np.ndarray]:
        inputs = self._dataset[int(sample)].get('inputs')
        if (
            not isinstance(inputs, Tensor)
            or inputs.dtype != torch.uint8
            or inputs.dim() != 3
            or len(inputs) not in (1, 3)
        ):
            return None
        pixels = inputs.expand(3, -1, -1).permute(1, 2, 0).numpy()  # [1 or 3, H, W] -> [H, W, 3]
        return np.ascontiguousarray(pixels[..., ::-1] if self._bgr else pixels)


def _names(known: List[str], dataset) -> List[str]:
    """The names that go with the labels of the test set, or else those that the checkpoint knows."""
    classes = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    if len(classes) != len(known):
        return known
    if sorted(classes) == sorted(known) and classes != known:
        first = next(i for i in range(len(known)) if classes[i] != known[i])
        raise ValueError(
            f'the classes of the test set are in another order than those that the network was trained on: class '
            f'{first} is {classes[first]!r}, and was {known[first]!r}'
        )
    return classes


class _Logits:
    """What the classifier gives in one step, for each iterate."""

    def __init__(self, network, iterates: int):
        head = getattr(network, 'cls_head', None) or network.head
        self._head, self._iterates, self._found = getattr(head, 'wrapped', head), iterates, []

    def __enter__(self):
        self._handle = self._head.register_forward_hook(
            lambda head, given, logits: self._found.append(logits.detach().float())
        )
        return self

    def __exit__(self, *error):
        self._handle.remove()

    def take(self) -> List[Tensor]:
        found, self._found = self._found, []
        if len(found) != self._iterates:
            raise ValueError(
                f'{type(self._head).__name__} has been called {len(found)} times for {self._iterates} iterates; a head '
                'that gives one map of logits for each is needed'
            )
        return found


def _file(sample, dataset, index: int) -> str:
    """Where a sample comes from; of data in memory its place."""
    for key in ('img_path', 'filename'):
        if key in sample:
            return str(sample.get(key))
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    return str(info.get('img_path') or info.get('filename') or f'sample {index}')
