"""The plot of how cost grows."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from .records import Row

_TITLES = dict(K='iterations K', N='samples N', C='channels C', R='recurrent blocks R')
_COLOURS = dict(train='tab:blue', inference='tab:orange')


def plot_growth(rows: Sequence[Row], path: Path) -> None:
    """For each axis the time of the recurrent block or network over the plain one, with quartiles, and beside it the
    count.

    Args:
        rows: Those of :func:`kaizen_mm.lab.benchmark.growth.measure`.
        path: A .png file.
    """
    axes_present = [axis for axis in _TITLES if any(row['axis'] == axis for row in rows)]
    figure, axes = plt.subplots(
        1, len(axes_present), figsize=(3.2 * len(axes_present), 3.4), squeeze=False, layout='constrained'
    )
    for place, name in zip(axes[0], axes_present):
        for work, colour in _COLOURS.items():
            points = sorted(
                (row for row in rows if row['axis'] == name and row['work'] == work), key=lambda row: row['value']
            )
            values = [row['value'] for row in points]
            middle = [row['ratio']['median'] for row in points]
            errors = [
                [m - row['ratio']['low'] for m, row in zip(middle, points)],
                [row['ratio']['high'] - m for m, row in zip(middle, points)],
            ]
            place.errorbar(values, middle, errors, marker='o', capsize=3, color=colour, label=f'{work}, measured')
            place.plot(
                values, [row['counted'] for row in points], color=colour, linestyle=':', label=f'{work}, counted'
            )
        ticks = sorted({row['value'] for row in rows if row['axis'] == name})
        if name in ('N', 'C'):
            place.set_xscale('log', base=2)
        place.set_xticks(ticks, [str(tick) for tick in ticks])
        place.minorticks_off()
        place.set(
            xlabel=_TITLES[name], ylim=(0, 1.08 * max(row['ratio']['high'] for row in rows if row['axis'] == name))
        )
        place.grid(alpha=0.3)
    axes[0, 0].set_ylabel('recurrent / plain')
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
