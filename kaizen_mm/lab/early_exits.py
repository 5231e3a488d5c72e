"""Early exit of the weights that the package brings: accuracy against mean passes, and what it saves.

Temperatures and threshold are chosen on the config's held-out data; the test is made once. One training seed each.
"""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import numpy as np
from mmengine.registry import init_default_scope

from kaizen_mm.calibration import exit_curve, probabilities
from kaizen_mm.openmmlab.command_line import read_config
from kaizen_mm.openmmlab.held_out import calibrate, logits_of
from kaizen_mm.openmmlab.inference import ConfigPredictor
from kaizen_mm.openmmlab.training.runner import build_runner

# by the name of the weights: the config
NETWORKS = {
    'kaizen_bagnet3d_moving_camera': 'kaizen_bagnet3d_moving_camera_k2',
    'kaizen_bagnet_cifar10': 'kaizen_bagnet_cifar10_k2',
    'kaizen_bagnet_cifar10_paper': 'kaizen_bagnet_cifar10_k2_paper',
}
# entries of a smoke test, which the data sets of both kinds read
QUICK = {f'{name}_dataloader.batch_size': 50 for name in ('val', 'test')}
_POINTS = 41  # of a curve that are kept
_TOP1 = ('acc/video_top1', 'accuracy/top1')


def measure(configs: Path, folder: Path, options: Optional[dict] = None, networks: Sequence[str] = ()) -> dict:
    """Of each network: what was chosen, accuracies in percent, mean passes, the ratio of times, and the curve.

    Args:
        configs: Folder of the configs.
        folder: For the logs of the tests.
        options: Entries put over the configs.
        networks: Names of :data:`NETWORKS`. Default all.
    """
    rows: Dict[str, Any] = {}
    for name in networks or NETWORKS:
        checkpoint, config = f'kaizen_mm::{name}', str(configs / f'{NETWORKS[name]}.py')
        chosen, held_out = calibrate(config, checkpoint, options)
        cfg = read_config(config, options)
        init_default_scope(cfg.default_scope)
        predictor = ConfigPredictor(cfg, checkpoint)
        logits, labels = logits_of(predictor, cfg.test_dataloader)
        scores = probabilities(logits)
        right = scores.argmax(axis=2) == labels[:, None]
        curve = exit_curve(right, probabilities(logits, chosen.temperatures).max(axis=2))
        kept = np.unique(np.linspace(0, len(curve.passes) - 1, _POINTS).round().astype(int))
        cfg.load_from, cfg.work_dir = checkpoint, str(folder / name)
        cfg.test_cfg = dict(
            type='EarlyExitTestLoop', threshold=chosen.threshold, temperatures=list(chosen.temperatures)
        )
        metrics = build_runner(cfg).test()
        key = next(key for key in _TOP1 if key in metrics)
        percent = 100 if key.startswith('acc/') else 1  # mmaction2's metrics are shares
        rows[name] = dict(
            config=NETWORKS[name],
            threshold=chosen.threshold,
            temperatures=list(chosen.temperatures),
            held_out=held_out,
            samples=len(labels),
            accuracy=[100 * float(share) for share in right.mean(axis=0)],
            early_exit_accuracy=percent * float(metrics[key]),
            mean_passes=float(metrics['early_exit/mean_passes']),
            time_ratio=float(metrics['early_exit/time_ratio']),
            curve=dict(
                passes=curve.passes[kept].round(4).tolist(), accuracy=(100 * curve.accuracy[kept]).round(3).tolist()
            ),
        )
    return rows


def markdown(rows: dict) -> str:
    """The rows of :func:`measure` as a table."""
    lines = [
        '| weights | top-1 of the iterates, % | early exit, % | mean passes | time, of all passes |',
        '| --- | --- | --- | --- | --- |',
    ]
    for name, row in rows.items():
        accuracy = ', '.join(f'{value:.2f}' for value in row['accuracy'])
        lines.append(
            f'| `{name}` | {accuracy} | {row["early_exit_accuracy"]:.2f} | {row["mean_passes"]:.2f} | '
            f'{row["time_ratio"]:.2f} |'
        )
    return '\n'.join(lines)


def plot(rows: dict, path: Path) -> None:
    """The curves, with the iterates and the points that were chosen, as a PNG."""
    figure, axes = plt.subplots(1, len(rows), figsize=(4 * len(rows), 3.2), squeeze=False, layout='constrained')
    for axis, (name, row) in zip(axes[0], rows.items()):
        axis.plot(row['curve']['passes'], row['curve']['accuracy'], label='early exit')
        axis.plot(range(1, len(row['accuracy']) + 1), row['accuracy'], 'o', color='0.5', label='iterates')
        axis.plot(row['mean_passes'], row['early_exit_accuracy'], 'D', color='C3', label='chosen on held-out data')
        axis.set(title=name, xlabel='mean passes')
        axis.grid(alpha=0.25)
    axes[0, 0].set_ylabel('top-1 [%]')
    axes[0, 0].legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
