"""Pictures of docs/when_it_helps.md: accuracy against multiply-adds of the recurrence and of its rivals, from the
records."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from kaizen_mm.lab.plots import spread
from kaizen_mm.uncertainty import standard_error


class Chart(NamedTuple):
    """A picture ``name``.png: the rows ``names`` of the records ``records``, under the names that readers know."""

    name: str
    title: str
    records: Tuple[str, ...]
    names: Dict[str, str]


CHARTS = [
    Chart(
        'rivals_photos',
        'photos seen as patches of 4 x 4 pixels',
        ('bagnet_cifar10_attention', 'bagnet_cifar10_rivals', 'bagnet_cifar10_other_rivals'),
        {
            'static': 'static',
            'multiply_adds': 'static, wider',
            'recurrent_global': 'recurrent, global adapter',
            'recurrent': "recurrent, the paper's adapter",
            'film': 'feedback as scale and shift (FiLM)',
            'one_pass': "the paper's adapter in one pass",
            'one_pass_global': 'global adapter in one pass',
            'experts': 'experts mixed by gates (CondConv)',
            'squeeze_excitation': 'squeeze-and-excitation',
            'global_context': 'global context',
            'depthwise': 'depthwise convolution, 3 x 3',
            'attention': 'attention',
            'attention_parameters': 'attention, wider',
            'attention_multiply_adds': 'attention, widest',
            'recurrent_attention': 'attention and recurrent',
        },
    ),
    Chart(
        'rivals_clips',
        'clips of a moving camera',
        ('bagnet3d_attention',),
        {
            'static': 'static',
            'parameters': 'static, wider',
            'multiply_adds': 'static, widest',
            'recurrent': 'recurrent, global adapter',
            'attention': 'attention',
            'attention_multiply_adds': 'attention, wider',
            'recurrent_attention': 'attention and recurrent',
        },
    ),
]
KINDS = {  # by how many passes a network makes, and whether it is one that is told of the whole: colour and mark
    'static': ('static', '0.4', 's'),
    'one': ('told of the whole in one pass', 'tab:green', 'o'),
    'two': ('recurrent, two passes', 'tab:blue', '^'),
}


class Point(NamedTuple):
    """A network of a chart: multiply-adds of one sample in millions, accuracy in percent, and its standard error."""

    name: str
    kind: str
    multiply_adds: float
    top1: float
    error: float


def points(chart: Chart, results: Path) -> List[Point]:
    """What a chart shows. Rows that no record in the folder ``results`` has, or has of one seed, are left out."""
    found = {}
    for record in chart.records:
        path = results / f'{record}.json'
        rows = json.loads(path.read_text(encoding='utf-8'))['rows'] if path.exists() else {}
        for row, content in rows.items():
            if row in chart.names and row not in found and len(content['top1']['per_seed']) > 1:
                static = row in ('static', 'parameters', 'multiply_adds')
                kind = 'two' if len(content['per_iterate'][0]) > 1 else 'static' if static else 'one'
                error = standard_error(content['top1']['per_seed'])
                place = content['multiply_adds'] / 1e6, content['top1']['mean']
                found[row] = Point(chart.names[row], kind, *place, error)
    return [found[row] for row in chart.names if row in found]


def plot_charts(results: Path, folder: Path) -> None:
    """Draws each of :data:`CHARTS` that has a point, with two standard errors, as a PNG in ``folder``."""
    for chart in CHARTS:
        shown = points(chart, results)
        if not shown:
            continue
        figure, axis = plt.subplots(figsize=(8, 5.2), layout='constrained')
        names = []
        for point in shown:
            label, colour, mark = KINDS[point.kind]
            place = point.multiply_adds, point.top1
            axis.errorbar(*place, yerr=2 * point.error, marker=mark, capsize=3, linestyle='', color=colour, label=label)
            names.append(
                axis.annotate(point.name, place, (0, 0), textcoords='offset points', fontsize='small', color=colour)
            )
        handles = dict(zip(*axis.get_legend_handles_labels()[::-1]))
        axis.legend(handles.values(), handles, loc='lower right')
        axis.margins(x=0.18, y=0.08)
        axis.set(
            xlabel='multiply-adds of one sample, millions',
            ylabel='top-1 [%], with two standard errors',
            title=chart.title,
        )
        axis.grid(alpha=0.3)
        spread(names)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f'{chart.name}.png', dpi=120)
        plt.close(figure)
