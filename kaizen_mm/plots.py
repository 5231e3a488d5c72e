"""Plots of results."""
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

MEASURES = {'clip_top1': 'clip accuracy', 'video_top1': 'video accuracy'}


def plot_iterates(results: dict, path: str) -> None:
    """Accuracy per iterate beside phase one and the static control, as a PNG.

    Args:
        results: What :func:`kaizen_mm.openmmlab.experiment.compare` returns. With several seeds
            mean and standard deviation are drawn.
        path: File to write.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout='constrained')
    for axis, (key, title) in zip(axes, MEASURES.items()):
        iterates = np.array([run[key] for run in results['kaizen']['per_seed']])  # [seeds, K]
        numbers = np.arange(1, iterates.shape[1] + 1)
        spread = iterates.std(axis=0, ddof=1) if len(iterates) > 1 else None
        axis.errorbar(numbers, iterates.mean(axis=0), spread, marker='o', capsize=3, label='kaizen')
        for row, style in (('static_control', '--'), ('phase_one', ':')):
            axis.axhline(results[row][key], color='0.35', linestyle=style, label=row.replace('_', ' '))
        axis.set(title=title, xlabel='iterate', xticks=numbers)
    axes[0].set_ylabel('top-1 [%]')
    axes[1].legend()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
