"""Plots of results."""

import itertools
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np

from kaizen_mm.lab.measures import measured
from kaizen_mm.uncertainty import standard_error


def plot_iterates(results: dict, path: str) -> None:
    """Accuracy per iterate beside the static control and phase one, where there is one, as a PNG.

    Args:
        results: What :func:`kaizen_mm.lab.experiment.compare` returns. Every number is drawn with its standard error:
            over seeds or, with a single one, binomial over the tested videos or images.
        path: File to write.
    """
    titles = {key: measure.title for key, measure in measured(results).items()}
    figure, axes = plt.subplots(
        1, len(titles), figsize=(4.5 * len(titles), 3.6), sharey=True, squeeze=False, layout='constrained'
    )
    for axis, (key, title) in zip(axes[0], titles.items()):
        iterates = np.array([run[key] for run in results['kaizen']['per_seed']])  # [seeds, K]
        numbers = np.arange(1, iterates.shape[1] + 1)
        tested = results['kaizen']['per_seed'][0].get('tested')
        errors = [standard_error(values.tolist(), tested) for values in iterates.T]
        axis.errorbar(
            numbers, iterates.mean(axis=0), None if None in errors else errors, marker='o', capsize=3, label='kaizen'
        )
        for row, style in (('static_control', '--'), ('phase_one', ':')):
            if row not in results:  # both from the start
                continue
            values = [run[key] for run in results[row]['per_seed']]
            error, mean = standard_error(values, tested), np.mean(values)
            axis.axhline(mean, color='0.35', linestyle=style, label=row.replace('_', ' '))
            if error is not None:
                axis.axhspan(mean - error, mean + error, color='0.35', alpha=0.12, linewidth=0)
        axis.set(title=title, xlabel='iterate', xticks=numbers)
    axes[0, 0].set_ylabel('accuracy [%], with standard errors')
    axes[0, -1].legend()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_table(rows: dict, path: str, title: str = '') -> None:
    """A measured table as a PNG: every row with its spread, and the iterates of the recurrent networks.

    On the left each row's accuracy, mean and standard deviation over seeds, with the single seeds behind them and the
    paper's number where it has one. On the right, where there are recurrent rows, the accuracy of every iterate of
    those with the largest K of their kind.

    Args:
        rows: What :func:`kaizen_mm.lab.reproduce.summary` returns. Of the recurrent networks those whose config is
            named ``kaizen_...`` have the kaizen loss, unless its weight is changed to 0.
        path: File to write.
        title: Names the data set and the number of seeds.
    """
    recurrent = {name: row for name, row in rows.items() if len(row['per_iterate'][0]) > 1}
    figure, axes = plt.subplots(
        1,
        2 if recurrent else 1,
        figsize=(11 if recurrent else 6.5, 1.4 + 0.34 * max(len(rows), 6)),
        squeeze=False,
        layout='constrained',
    )
    _draw_rows(axes[0, 0], rows)
    if recurrent:
        _draw_iterates(axes[0, 1], recurrent)
    figure.suptitle(title)
    handles = {label: handle for axis in axes[0] for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(handles.values(), handles, loc='outside lower center', ncols=len(handles))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_costs(rows: dict, path: str, title: str = '') -> None:
    """Accuracy against multiply-adds as a PNG, one point a row, with its standard deviation over seeds where there are
    several.

    Args:
        rows: What :func:`kaizen_mm.lab.reproduce.summary` returns, with :func:`kaizen_mm.lab.cost.add_costs`.
        path: File to write.
        title: Names the data set and the number of seeds.
    """
    figure, axis = plt.subplots(figsize=(9, 6), layout='constrained')
    names = []
    for name, row in rows.items():
        short = name.split('/')[-1].replace('_tiny_imagenet', '')
        kind = _kind(name, row)
        place = row['multiply_adds'], row['top1']['mean']
        axis.errorbar(
            *place,
            yerr=row['top1']['std'],
            marker='o',
            capsize=3,
            linestyle='',
            color=_COLOURS[kind],
            label=_KINDS[kind],
        )
        names.append(
            axis.annotate(short, place, (0, 0), textcoords='offset points', fontsize='x-small', color=_COLOURS[kind])
        )
    handles = dict(zip(*axis.get_legend_handles_labels()[::-1]))
    axis.legend(handles.values(), handles, loc='lower right')
    axis.margins(x=0.15)
    axis.set(xscale='log', xlabel='multiply-adds of one image', ylabel='top-1 [%]', title=title)
    axis.grid(alpha=0.3)
    spread(names)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def spread(names: list) -> None:
    """Puts each name beside its point, where it covers no name before it and stays within the axis if that can be."""
    names[0].figure.canvas.draw()
    inside = names[0].axes.get_window_extent()
    taken: list = []
    for name in names:
        for up, right in itertools.product((3, -9, 13, -19, 23, -29), (5, -5)):
            name.set(position=(right, up), ha='left' if right > 0 else 'right')
            box = name.get_window_extent()
            if box.x1 < inside.x1 and box.x0 > inside.x0 and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


_COLOURS = {'kaizen': 'tab:blue', 'recurrent': 'tab:orange', '': '0.3'}
_KINDS = {'kaizen': 'recurrent, kaizen loss', 'recurrent': 'recurrent, no kaizen loss', '': 'plain'}


def _kind(name: str, row: dict) -> str:
    if len(row['per_iterate'][0]) == 1:
        return ''
    config = row.get('config', name).split('/')[-1]
    loss = row.get('changes', {}).get('model.head.loss.kaizen_weight', 1.0) if config.startswith('kaizen_') else 0.0
    return 'kaizen' if loss else 'recurrent'


def _draw_rows(axis, rows: dict) -> None:
    """One line a row, the first on top."""
    for place, (name, row) in enumerate(rows.items()):
        kind = _kind(name, row)
        axis.scatter(
            row['top1']['per_seed'], [place] * len(row['top1']['per_seed']), s=10, color=_COLOURS[kind], alpha=0.35
        )
        axis.errorbar(
            row['top1']['mean'],
            place,
            xerr=row['top1']['std'],
            marker='o',
            capsize=3,
            color=_COLOURS[kind],
            label=_KINDS[kind],
        )
        if row['paper_top1'] is not None:
            axis.plot(row['paper_top1'], place, marker='x', color='black', linestyle='', zorder=5, label='paper')
    axis.set(
        xlabel='top-1 [%]',
        yticks=range(len(rows)),
        yticklabels=[f'{name}  ({row["parameters"]:,})' for name, row in rows.items()],
    )
    axis.invert_yaxis()
    axis.grid(axis='x', alpha=0.3)


def _draw_iterates(axis, rows: dict) -> None:
    """Accuracy over iterates of the rows with the most iterates of their kind, side by side."""
    largest = {}
    for name, row in rows.items():
        kind = _kind(name, row)
        if kind not in largest or len(row['per_iterate'][0]) > len(largest[kind][1]['per_iterate'][0]):
            largest[kind] = name, row
    for index, (kind, (_, row)) in enumerate(largest.items()):
        iterates = np.array(row['per_iterate'])  # [seeds, K]
        spread = iterates.std(axis=0, ddof=1) if len(iterates) > 1 else None
        numbers = np.arange(1, iterates.shape[1] + 1)
        # a little apart, or one would hide the other
        axis.errorbar(
            numbers + 0.08 * (index - (len(largest) - 1) / 2),
            iterates.mean(axis=0),
            spread,
            marker='o',
            capsize=3,
            color=_COLOURS[kind],
        )
        axis.set_xticks(numbers)
    axis.set(xlabel='iterate', ylabel='top-1 [%]', title=', '.join(name for name, _ in largest.values()))
    axis.title.set_fontsize('medium')
    axis.grid(axis='y', alpha=0.3)
