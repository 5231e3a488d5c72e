"""The accuracies that trainings are compared by."""

from typing import Dict, List, NamedTuple


class Measure(NamedTuple):
    """``title`` for plots and tables, ``name`` in an evaluator's metrics, with a place for ``iterate_2/``
    and so on, and the ``factor`` from there to percent."""

    title: str
    name: str
    factor: float

    def iterates(self, metrics: dict) -> List[float]:
        """The measure of every iterate in percent; of a plain network one value."""
        values = []
        while self.name.format(f'iterate_{len(values) + 1}/') in metrics:
            values.append(metrics[self.name.format(f'iterate_{len(values) + 1}/')])
        return [self.factor * value for value in values or [metrics[self.name.format('')]]]

    def metrics(self, iterates: List[float]) -> Dict[str, float]:
        """The metrics of which :meth:`iterates` makes these values."""
        values = [value / self.factor for value in iterates]
        several = enumerate(values, start=1) if len(values) > 1 else ()
        return {self.name.format(''): values[-1], **{self.name.format(f'iterate_{i}/'): value for i, value in several}}


MEASURES = {
    'clip_top1': Measure('clip top-1', 'acc/{}clip_top1', 100),  # videos
    'video_top1': Measure('video top-1', 'acc/{}video_top1', 100),
    'top1': Measure('top-1', 'accuracy/{}top1', 1),  # images
}


def measured(results: dict) -> Dict[str, Measure]:
    """The measures that :func:`kaizen_mm.lab.experiment.compare` has taken; that of clips only where a video has
    several, so that they differ."""
    runs = [run for row in results.values() if isinstance(row, dict) for run in row['per_seed']]
    found = {key: measure for key, measure in MEASURES.items() if key in runs[0]}
    if 'clip_top1' in found and all(run['clip_top1'] == run['video_top1'] for run in runs):
        del found['clip_top1']
    return found
