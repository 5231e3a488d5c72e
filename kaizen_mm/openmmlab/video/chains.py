"""Training on chains of windows of a video, in mmaction2: the data, and the recognizer (docs/streams.md)."""

from typing import Any, Dict, List, Optional, Union

import numpy as np
import torch
from mmaction.models import Recognizer3D
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor
from torch.utils.data import Dataset

from kaizen_mm.arguments import check_int, check_number
from kaizen_mm.layers import chain_passes, recurrent_blocks, set_decay
from kaizen_mm.layers.chains import ChainPass


@DATASETS.register_module()
class ChainedWindows(Dataset):
    """Videos of another data set as chains of windows, in order, with other videos that begin among them.

    What a sample shows is cut into ``windows`` parts. At each window but the first another video may begin: then this
    window and those after it are those of a video drawn at random. Some of these cuts are told, and a chain begins with
    them; through the others the network goes with what it has written, as where nobody tells it of a cut. So chains are
    of varied lengths, up to ``windows``.

    Args:
        dataset: Config of the data set, or one: samples with inputs ``[1, C, T, H, W]`` and one label. Of videos or
            folders of frames that is a pipeline with ``SampleFrames(clip_len=T, num_clips=1)``, a ``T`` of ``windows``
            times the frames of a window, and the format ``NCTHW``; mmaction2 begins shorter videos again.
        windows: Of a sample.
        cut: Probability, from 0 to 1, that another video begins with a window. Default 0.
        told: Probability, from 0 to 1, that this is told. Default 1.

    Shape:
        Inputs ``[windows, C, T / windows, H, W]``. The data sample has ``window_labels``, int64 ``[windows]``, and
        ``begins``, bool ``[windows]``, beside the label of the first window.

    Raises:
        ValueError: An argument that cannot be used; in a sample: inputs of another shape, or of a ``T`` that
            ``windows`` does not divide.
    """

    def __init__(self, dataset: Union[dict, Dataset], windows: int, cut: float = 0.0, told: float = 1.0):
        check_int('windows', windows)
        check_number('cut', cut, 0, 1)
        check_number('told', told, 0, 1)
        self.dataset: Any = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.windows, self.cut, self.told = windows, float(cut), float(told)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not there yet, while this is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getitem__(self, index: int) -> dict:
        """One chain; its cuts are drawn from NumPy's global generator, as transforms do."""
        parts, label = self._parts(index)
        labels, begins = [label] * self.windows, [True] + [False] * (self.windows - 1)
        for window in range(1, self.windows):
            if np.random.random() >= self.cut:
                continue
            other, label = self._parts(np.random.randint(len(self)))
            parts = [*parts[:window], *other[window:]]
            labels[window:] = [label] * (self.windows - window)
            begins[window] = np.random.random() < self.told
        sample = ActionDataSample().set_gt_label(labels[0])
        sample.set_field(torch.tensor(labels), 'window_labels')
        sample.set_field(torch.tensor(begins), 'begins')
        return dict(inputs=torch.cat(parts), data_samples=sample)

    def _parts(self, index):
        sample = self.dataset[index]
        inputs, label = sample['inputs'], sample['data_samples'].gt_label
        if inputs.dim() != 5 or len(inputs) != 1 or inputs.shape[2] % self.windows:
            raise ValueError(
                f'dataset: inputs must be [1, C, T, H, W] with a T that windows={self.windows} divides, got '
                f'{tuple(inputs.shape)}'
            )
        if label.numel() != 1:
            raise ValueError(f'dataset: samples must have one label, sample {index} has {label.tolist()}')
        return list(inputs.chunk(self.windows, dim=2)), int(label)


@MODELS.register_module()
class ChainedRecognizer3D(Recognizer3D):
    """mmaction2's ``Recognizer3D``, trained on the chains of :class:`ChainedWindows`.

    The loss of a chain is the mean of those of its windows: of the loss over the iterates where one begins, of the
    cross entropy where it goes on in one pass, see :func:`~kaizen_mm.layers.chain_passes`. With one window it is the
    training of ``Recognizer3D``. A network of one iteration, which writes nothing, sees each window by itself: a static
    control of the same data. In tests it is a ``Recognizer3D``.

    Args:
        decay: How much of what was written stays where a window writes, from 0 to 1, see
            :func:`~kaizen_mm.layers.rewriting`. Default 1. Streams then take the same one.
        every, truncate: See :func:`~kaizen_mm.layers.chain_passes`.
        args, kwargs: Those of ``Recognizer3D``.

    Raises:
        ValueError: An argument that cannot be used; in training: several clips of a sample that are no chain.
    """

    def __init__(self, *args, decay: float = 1.0, every: int = 1, truncate: Optional[int] = None, **kwargs):
        check_number('decay', decay, 0, 1)
        check_int('every', every)
        if truncate is not None:
            check_int('truncate', truncate)
        super().__init__(*args, **kwargs)
        self.every, self.truncate = every, truncate
        self.recurrent = any(block.num_iterations > 1 for _, block in recurrent_blocks(self))
        if self.recurrent:
            set_decay(self, decay)

    def loss(self, inputs: Tensor, data_samples: List[ActionDataSample], **kwargs) -> Dict[str, Tensor]:
        """The mean over the windows, and for the log what the head gives for those with which chains begin;
        ``held_ce`` and ``held_top1_acc`` are those of the others."""
        if not all('window_labels' in sample for sample in data_samples):
            if inputs.shape[1] > 1:
                raise ValueError(
                    f'inputs: {inputs.shape[1]} clips of a sample must be a chain, as the data set ChainedWindows '
                    f'gives them; got shape {tuple(inputs.shape)} without window_labels'
                )
            return super().loss(inputs, data_samples, **kwargs)
        labels = torch.stack([sample.window_labels for sample in data_samples])
        begins = torch.stack([sample.begins for sample in data_samples])
        if not self.recurrent:
            begins = torch.ones_like(begins)
        log: Dict[str, Tensor] = {}
        held: Dict[str, Tensor] = {}
        last_scores: Any = ()
        for part in self._passes(inputs, begins):
            feats, loss_kwargs = part.result
            chosen = labels[part.samples.cpu(), part.windows.cpu()]
            samples = [ActionDataSample().set_gt_label(label) for label in chosen.tolist()]
            found = {**self.cls_head.loss(feats, samples, **loss_kwargs), **loss_kwargs.get('loss_aux', {})}
            share = len(samples) / labels.numel()
            if not part.held:
                log = {key: share * value if 'loss' in key else value for key, value in found.items()}
                last_scores = getattr(self.cls_head, 'last_scores', ())
                continue
            for key, value in found.items():
                if 'loss' in key:
                    log[key] = log.get(key, 0) + share * value
            weight = len(samples) / int((~begins).sum())
            for key, value in (('held_ce', found['loss_cls'].detach()), ('held_top1_acc', found.get('top1_acc'))):
                if value is not None:
                    held[key] = held.get(key, 0) + weight * value
        if last_scores:
            self.cls_head.last_scores = last_scores  # RecurrenceHook reads those of all iterates
        return {**log, **held}

    def _passes(self, inputs, begins):
        def look(x):
            return self.extract_feat(x[:, None])

        if self.recurrent:
            return chain_passes(self, look, inputs, begins, self.every, self.truncate)
        return [ChainPass(*begins.nonzero(as_tuple=True), look(inputs.flatten(0, 1)), False)]
