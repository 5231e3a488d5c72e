"""Plots of results."""
import re
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from kaizen_mm.measures import MEASURES  # noqa: E402


def plot_iterates(results: dict, path: str) -> None:
    """Accuracy per iterate beside phase one and the static control, as a PNG.

    Args:
        results: What :func:`kaizen_mm.openmmlab.experiment.compare` returns. With several seeds
            mean and standard deviation are drawn.
        path: File to write.
    """
    titles = {key: measure.title for key, measure in MEASURES.items() if key in results['kaizen']['per_seed'][0]}
    figure, axes = plt.subplots(1, len(titles), figsize=(4.5 * len(titles), 3.6), sharey=True, squeeze=False,
                                layout='constrained')
    for axis, (key, title) in zip(axes[0], titles.items()):
        iterates = np.array([run[key] for run in results['kaizen']['per_seed']])  # [seeds, K]
        numbers = np.arange(1, iterates.shape[1] + 1)
        spread = iterates.std(axis=0, ddof=1) if len(iterates) > 1 else None
        axis.errorbar(numbers, iterates.mean(axis=0), spread, marker='o', capsize=3, label='kaizen')
        for row, style in (('static_control', '--'), ('phase_one', ':')):
            axis.axhline(results[row][key], color='0.35', linestyle=style, label=row.replace('_', ' '))
        axis.set(title=title, xlabel='iterate', xticks=numbers)
    axes[0, 0].set_ylabel('accuracy [%]')
    axes[0, -1].legend()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_table(rows: dict, path: str) -> None:
    """A measured table over iterations, ours beside the control and the paper, as a PNG.

    On the left the last iterate's accuracy against the number of iterations K, on the right the accuracy
    of every iterate of the networks with the largest K. Error bars are the standard deviation over seeds.

    Args:
        rows: What :func:`kaizen_mm.openmmlab.reproduce.summary` returns. Names that end in ``_k2`` and so on are
            recurrent networks; ``kaizen_...`` are those with the kaizen loss, ``recurrent_...`` those without, where there are
            any; ``..._control`` is the static control. Other rows are left to the table.
        path: File to write.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for kind, label, color in (('kaizen', 'ours', 'tab:blue'), ('recurrent', 'ours, no kaizen loss', 'tab:orange')):
        found = {int(m[1]): row for name, row in rows.items() if (m := re.fullmatch(rf'{kind}_.*_k(\d+)', name))}
        if not found:
            continue
        ks = sorted(found)
        top1 = [found[k]['top1'] for k in ks]
        spread = None if top1[0]['std'] is None else [t['std'] for t in top1]
        left.errorbar(ks, [t['mean'] for t in top1], spread, marker='o', capsize=3, color=color, label=label)
        paper = [found[k]['paper_top1'] for k in ks]
        if None not in paper:
            left.plot(ks, paper, marker='x', linestyle=':', color=color, label=label.replace('ours', 'paper'))
        iterates = np.array(found[ks[-1]]['per_iterate'])  # [seeds, K]
        spread = iterates.std(axis=0, ddof=1) if len(iterates) > 1 else None
        right.errorbar(range(1, ks[-1] + 1), iterates.mean(axis=0), spread, marker='o', capsize=3, color=color,
                       label=f'{label}, K = {ks[-1]}')
    for name, row in rows.items():
        label = 'static control' if name.endswith('_control') else 'phase one' if row is next(iter(rows.values())) else None
        if label:
            for axis in (left, right):
                axis.axhline(row['top1']['mean'], color='0.35', linestyle='--' if 'control' in label else ':', label=label)
    left.set(xlabel='iterations K', ylabel='top-1 of the last iterate [%]', xticks=ks)
    right.set(xlabel='iterate', ylabel='top-1 [%]', xticks=range(1, ks[-1] + 1))
    left.legend()
    right.legend()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
