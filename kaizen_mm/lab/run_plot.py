"""The curves of trainings as a picture."""

from pathlib import Path
from typing import List, Sequence

from kaizen_mm.files import whole_file
from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.lab.plots import plt
from kaizen_mm.text import for_figure

# title, part of the training, names of which each run has one, factor
_PANELS = (
    ('cross entropy, training', 'training', ('ce', 'criterion', 'loss'), 1),
    ('accuracy, training [%]', 'training', ('top1_acc',), 100),
    *(
        (f'{measure.title}, validation [%]', 'validation', (measure.name.format(''),), measure.factor)
        for measure in MEASURES.values()
    ),
    ('worse than the iterate before [% of batches]', 'training', ('worse',), 100),
    ('change of the weights', 'training', ('weight_change',), 1),
    ('change of the logits', 'training', ('logit_change',), 1),
)
_STYLES = ('-', '--', '-.', ':')


def plot_runs(runs: Sequence, path: Path) -> None:
    """Draws loss, accuracies and changes over the epochs, per iterate, as a PNG; phase two follows phase one.

    Of one run each iterate has its colour; of several runs each run has one, and each iterate its dashes.

    Args:
        runs: What :func:`kaizen_mm.lab.curves.find_runs` returns.
        path: File to write.

    Raises:
        ValueError: None of the runs has a value of what is drawn.
    """
    panels = [panel for panel in _PANELS if any(_found(phase, panel) for run in runs for phase in run.phases)]
    if not panels:
        names = sorted({name for panel in _PANELS for name in panel[2]})
        raise ValueError(
            f'WORK_DIR: nothing to draw of {", ".join(run.name for run in runs)}: the lines of vis_data/scalars.json '
            f'have no number under any of {", ".join(names)}'
        )
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.6 * columns, 3.1 * rows + 0.6), squeeze=False, layout='constrained'
    )
    labels = {}
    for axis, panel in zip(axes.flat, panels):
        for number, run in enumerate(runs):
            labels.update(_draw(axis, panel, run, None if len(runs) == 1 else f'C{number}'))
        axis.set_title(panel[0], fontsize='medium')
        axis.grid(alpha=0.25)
        axis.set_xlabel('epoch' if all(phase.by_epoch for run in runs for phase in run.phases) else 'iteration')
    for axis in axes.flat[len(panels) :]:
        axis.axis('off')
    if len(runs) == 1:
        figure.suptitle(for_figure(runs[0].name), fontsize='medium')
    figure.legend(
        labels.values(), labels.keys(), loc='outside lower center', ncols=min(len(labels), 5), fontsize='small'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        figure.savefig(part, dpi=110, format='png')
    plt.close(figure)


def _found(phase, panel):
    """The curves of the first name that a phase has, by iterate."""
    return next((curves for name in panel[2] if (curves := getattr(phase, panel[1]).get(name))), {})


def _draw(axis, panel, run, color) -> dict:
    """One run in one panel; returns the lines for the legend by their labels.

    What goes on in phase two is drawn on from where phase one ended.
    """
    start, lines, end = 0.0, {}, []
    for phase in run.phases:
        found = {
            iterate: curve
            for iterate, curve in _found(phase, panel).items()
            if iterate or len(_found(phase, panel)) == 1
        }
        for iterate, points in found.items():
            x, y = zip(*end, *((start + x, panel[3] * y) for x, y in points))
            marker = 'o' if len(points) == 1 else None
            (line,) = axis.plot(x, y, marker=marker, markersize=4, linewidth=1.4, **_look(iterate, max(found), color))
            lines[_label(run, iterate, color)] = line
        if len(found) == 1:
            end = [(x[-1], y[-1])]
        start += phase.end
        if phase is not run.phases[-1]:
            axis.axvline(start, color='0.6', linestyle=':', linewidth=1)
    return lines


def _look(iterate: int, last: int, color) -> dict:
    if color is None:
        return dict(color='0.25' if iterate == 0 else plt.get_cmap('viridis')(0.85 * (iterate - 1) / max(last - 1, 1)))
    # the last iterate is the result: it is drawn through, as a plain network is
    return dict(color=color, linestyle=_STYLES[(last - iterate) % len(_STYLES)], alpha=1 if iterate == last else 0.75)


def _label(run, iterate: int, color) -> str:
    parts: List[str] = ([] if color is None else [for_figure(run.name)]) + ([f'iterate {iterate}'] if iterate else [])
    return ', '.join(parts) or 'plain network'
