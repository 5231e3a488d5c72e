"""Early exit of whole recognizers of mmaction2 and classifiers of mmpretrain, and the test loop that does it."""

import copy
import statistics
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

import torch
from mmengine.evaluator import BaseMetric, DumpResults, Evaluator
from mmengine.registry import LOOPS, METRICS
from mmengine.runner import TestLoop
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from kaizen_mm.calibration import Calibration, check_calibration
from kaizen_mm.layers.early_exit import check_early_exit, kept_entries, leaving
from kaizen_mm.layers.transparent import forward_replaced
from kaizen_mm.layers.writing_block import writing_blocks
from kaizen_mm.openmmlab.head_logits import HeadLogits
from kaizen_mm.openmmlab.processes import unwrapped


class RecognizerPasses:
    """The iterates of a whole recognizer or classifier one by one, for fewer and fewer samples.

    Its own ``predict`` runs in each pass; in the place of its backbone stand the backbone's iterates.

    Args:
        model: The recognizer or classifier, in evaluation mode.
        inputs: What its data preprocessor gives, ``[N, ...]``.
        data_samples: N of them.

    Raises:
        ValueError: The later iterates of its backbone cannot be computed for a part of the batch.
    """

    def __init__(self, model: Any, inputs: Any, data_samples: Sequence):
        if not isinstance(inputs, Tensor):
            raise ValueError(f'early_exit: inputs must be one tensor, got {type(inputs).__name__}')
        backbone = getattr(model, 'backbone', None)
        if not hasattr(backbone, 'exit_passes'):
            raise ValueError(
                f'early_exit: {type(model).__name__} has a {type(backbone).__name__} for its backbone, whose later '
                'iterates cannot be run alone; take an AdaptiveRecurrentBackbone, a RecurrentMFNet2d, a '
                'RecurrentMFNet3d or an MnistCNN'
            )
        self._model, self._backbone, self._inputs, self._samples = model, backbone, inputs, list(data_samples)
        self._passes: Any = None
        self._outside = [
            module
            for name, module in model.named_modules()
            if hasattr(type(module), 'first_iterate') and not name.startswith('backbone.')
        ]

    @property
    def num_iterations(self) -> int:
        """``K``."""
        return writing_blocks(self._backbone, 'early_exit')[-1].num_iterations

    def scores(self, index: int) -> Tuple[list, Tensor]:
        """The data samples with the predictions of one iterate, and its logits ``[n * views, C]``."""
        calls: List[int] = []

        def iterate(x, *args, **kwargs):
            calls.append(len(x))
            if len(calls) > 1:
                raise ValueError(
                    f'early_exit: {type(self._model).__name__} calls its backbone more than once for a batch, so that '
                    'samples cannot leave it; leave test_cfg.max_testing_views out'
                )
            if self._passes is None:
                each = len(x) // len(self._samples)
                self._passes = self._backbone.exit_passes(x, *args, entries_per_sample=each, **kwargs)
            y = self._passes.scores(index)
            return y if getattr(self._backbone, 'last_iterate', False) else (y,)

        with forward_replaced(self._backbone, iterate), HeadLogits(self._model) as logits:
            marked = [(module, module.first_iterate) for module in self._outside]
            try:
                for module, _ in marked:
                    module.first_iterate = index
                samples = self._model(self._inputs, self._samples, mode='predict')
            finally:
                for module, before in marked:
                    module.first_iterate = before
        return samples, logits.take(1)[0]

    def keep(self, mask: Tensor) -> None:
        """Leaves some samples out of the passes that follow."""
        self._passes.keep(mask)
        self._inputs = kept_entries(self._inputs, mask)
        self._samples = [sample for sample, stays in zip(self._samples, mask.tolist()) if stays]


@torch.no_grad()
def predict_with_early_exit(model: Any, inputs: Tensor, data_samples: Sequence, calibration: Calibration) -> list:
    """Predictions of a recognizer or classifier whose confident samples leave before the last iterate.

    A sample's confidence is its largest probability, the mean of its views (clips, crops), each with the iterate's
    temperature. Its views leave together.

    Args:
        model: The recognizer or classifier, in evaluation mode.
        inputs, data_samples: What its data preprocessor gives.
        calibration: The threshold, and the temperatures.

    Returns:
        The data samples with the predictions of the iterates that they left with, which alone are in
        ``iterate_clip_scores`` and ``iterate_scores``; and ``passes``, how many each took, from 1 to K.

    Raises:
        ValueError: Of a threshold outside 0 to 1; K of 1; training mode; a backbone whose later iterates cannot be
            computed for a part of the batch; a head of labels that do not exclude each other.
    """
    check_model(model, calibration)
    passes = RecognizerPasses(model, inputs, data_samples)
    temperatures = calibration.temperatures or (1.0,) * passes.num_iterations

    def confident(output, index):
        samples, logits = output
        each = (logits / temperatures[index]).softmax(dim=1).unflatten(0, (len(samples), -1))
        return each.mean(dim=1).amax(dim=1) >= calibration.threshold

    results: Dict[int, Any] = {}
    for part in leaving(passes, confident):
        gone = [sample for sample, leaves in zip(part.output[0], part.mask.tolist()) if leaves]
        for number, sample in zip(part.samples.tolist(), gone):
            sample.set_field(part.passes, 'passes')
            results[number] = sample
    return [results[number] for number in sorted(results)]


def check_model(model: nn.Module, calibration: Calibration) -> None:
    """Raises what :func:`predict_with_early_exit` raises, before there is a sample."""
    check_early_exit(model, calibration.threshold)
    check_calibration(calibration, writing_blocks(model, 'early_exit')[-1].num_iterations)
    head = getattr(model, 'cls_head', None) or getattr(model, 'head', None)
    head = getattr(head, 'wrapped', head)
    if any('MultiLabel' in kind.__name__ for kind in type(head).__mro__) or getattr(head, 'multi_class', False):
        raise ValueError(
            f'early_exit: a {type(head).__name__} gives labels that do not exclude each other, so that no largest '
            'probability says how sure it is; take a head of single labels'
        )


@METRICS.register_module()
class MeanPasses(BaseMetric):
    """How many passes the samples took: ``early_exit/mean_passes``, and the shares in percent of those that left after
    each."""

    default_prefix = 'early_exit'

    def __init__(self, iterates: int, **kwargs):
        super().__init__(**kwargs)
        self.iterates = iterates

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        self.results.extend(sample['passes'] for sample in data_samples)

    def compute_metrics(self, results: list) -> dict:
        shares = {
            f'left_after_{number}': 100 * results.count(number) / len(results) for number in range(1, self.iterates + 1)
        }
        return dict(mean_passes=sum(results) / len(results), **shares)


@LOOPS.register_module()
class EarlyExitTestLoop(TestLoop):
    """A test in which confident samples leave early, beside one in which all take K passes.

    Each batch goes through the network both ways, in turns one or the other first. The metrics are those of early
    exit; those of all passes have ``all_passes/`` before their names. ``early_exit/time_ratio`` is the time of early
    exit over that of all passes, the median over the batches of this process, without loading and preprocessing: CPU
    time, on a GPU that of the clock.

    Args:
        runner, dataloader, evaluator, fp16: As of mmengine's ``TestLoop``.
        threshold, temperatures: See :class:`~kaizen_mm.calibration.Calibration`.
    """

    def __init__(
        self,
        runner,
        dataloader,
        evaluator,
        threshold: float,
        temperatures: Sequence[float] = (),
        fp16: bool = False,
    ):
        super().__init__(runner, dataloader, evaluator, fp16)
        self.calibration = Calibration(threshold, tuple(temperatures))
        self.model = unwrapped(runner.model).eval()
        if not hasattr(self.model, 'backbone'):
            raise ValueError(f'early_exit: {type(self.model).__name__} is no recognizer or classifier with a backbone')
        check_model(self.model, self.calibration)
        metrics = [metric for metric in self.evaluator.metrics if not isinstance(metric, DumpResults)]
        self.all_passes = Evaluator(copy.deepcopy(metrics))
        self.all_passes.dataset_meta = self.evaluator.dataset_meta
        self.mean_passes = Evaluator([MeanPasses(writing_blocks(self.model)[-1].num_iterations)])
        self._seconds: Dict[str, List[float]] = {}

    def run(self) -> dict:
        """Launch test."""
        self._seconds = {'early exit': [], 'all passes': []}
        for event in ('before_test', 'before_test_epoch'):
            self.runner.call_hook(event)
        self.model.eval()
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
        size = len(self.dataloader.dataset)
        metrics = {
            **self.evaluator.evaluate(size),
            **{f'all_passes/{name}': value for name, value in self.all_passes.evaluate(size).items()},
            **self.mean_passes.evaluate(size),
            'early_exit/time_ratio': statistics.median(
                early / max(late, 1e-9) for early, late in zip(*self._seconds.values())
            ),
        }
        self.runner.call_hook('after_test_epoch', metrics=metrics)
        self.runner.call_hook('after_test')
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """One batch, both ways."""
        self.runner.call_hook('before_test_iter', batch_idx=idx, data_batch=data_batch)
        data = self.model.data_preprocessor(data_batch, False)
        inputs, samples = data['inputs'], data['data_samples']
        copies = [sample.clone() for sample in samples]  # predictions are written to them
        ways: Dict[str, Callable[[], list]] = {
            'early exit': lambda: predict_with_early_exit(self.model, inputs, samples, self.calibration),
            'all passes': lambda: self.model(inputs, copies, mode='predict'),
        }
        with autocast(enabled=self.fp16):
            if idx == 0:  # what is found out or allocated once
                for way in ways.values():
                    way()
            names = list(ways) if idx % 2 else list(reversed(ways))
            outputs = {name: self._timed(name, ways[name]) for name in names}
        left = outputs['early exit']
        self.mean_passes.process(data_samples=left, data_batch=data_batch)
        self.evaluator.process(data_samples=left, data_batch=data_batch)
        self.all_passes.process(data_samples=outputs['all passes'], data_batch=data_batch)
        self.runner.call_hook('after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=left)

    def _timed(self, name: str, way: Callable[[], list]) -> list:
        on_gpu = next(self.model.parameters()).is_cuda
        clock = time.perf_counter if on_gpu else time.process_time
        if on_gpu:
            torch.cuda.synchronize()
        start = clock()
        outputs = way()
        if on_gpu:
            torch.cuda.synchronize()
        self._seconds[name].append(clock() - start)
        return outputs
