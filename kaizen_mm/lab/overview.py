"""One picture of all that was measured: what the recurrence is worth in each setting, from the records."""

import json
import statistics
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Tuple

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt

from kaizen_mm.uncertainty import standard_error


class Setting(NamedTuple):
    """A recurrent network and what it is compared with: rows of one record."""

    title: str
    record: str
    recurrent: str
    control: str
    parameters: Optional[str] = None
    multiply_adds: Optional[str] = None


SETTINGS = [
    Setting(
        'clips of a moving camera, BagNet-3D',
        'bagnet3d_moving_camera',
        'recurrent',
        'static',
        'parameters',
        'multiply_adds',
    ),
    Setting(
        "photos as patches, BagNet, paper's h",
        'bagnet_cifar10_paper',
        'recurrent',
        'static',
        'parameters',
        'multiply_adds',
    ),
    Setting(
        'photos as patches, BagNet, global h', 'bagnet_cifar10', 'recurrent', 'static', 'parameters', 'multiply_adds'
    ),
    Setting(
        'photos as patches, with attention',
        'bagnet_cifar10_attention',
        'recurrent_attention',
        'attention',
        'attention_parameters',
        'attention_multiply_adds',
    ),
    Setting(
        'clips of a moving camera, with attention',
        'bagnet3d_attention',
        'recurrent_attention',
        'attention',
        None,
        'attention_multiply_adds',
    ),
    Setting('MNIST, K = 4', 'table1', 'kaizen_mnist_k4', 'mnist_control', 'mnist_big'),
    Setting('photos of 16 px, ResNet-8', 'cifar10_16px', 'recurrent', 'static', 'parameters', 'multiply_adds'),
    Setting(
        'photos of 32 px, ResNet-8',
        'cifar10_half_from_start',
        'kaizen_resnet8_half_cifar10_k2',
        'resnet8_half_cifar10',
        'resnet8_half_cifar10_parameters',
        'resnet8_half_cifar10_multiply_adds',
    ),
    Setting(
        'photos of 64 px, MFNet-2D', 'tiny_imagenet', 'kaizen_mfnet2d_tiny_imagenet_k3', 'mfnet2d_tiny_imagenet_control'
    ),
    Setting(
        'photos of 48 px, ResNet-18',
        'tiny_imagenet_resnet18',
        'kaizen_resnet18_tiny_imagenet_k3',
        'resnet18_tiny_imagenet_control',
    ),
    Setting(
        'photos of 48 px, ResNet-18 of timm',
        'tiny_imagenet_timm_resnet18',
        'kaizen_timm_resnet18_tiny_imagenet_k3',
        'timm_resnet18_tiny_imagenet_control',
    ),
]

AGAINST = {  # what a bar is the difference to, and its colour and mark
    'control': ('the same network without recurrence, trained as long', 'tab:blue', 'o'),
    'parameters': ('a static network of as many parameters', 'tab:orange', 's'),
    'multiply_adds': ('a static network of as many multiply-adds', 'tab:green', '^'),
}


def differences(setting: Setting, results: Path) -> Dict[str, Tuple[float, float]]:
    """For each network of :data:`AGAINST` that the setting has, the recurrent network's top-1 minus that one's.

    Returns:
        Mean over the seeds' pairs, in points, and its standard error.
    """
    rows = json.loads((results / f'{setting.record}.json').read_text(encoding='utf-8'))['rows']
    recurrent = rows[setting.recurrent]['top1']['per_seed']
    found = {}
    for name in AGAINST:
        row = getattr(setting, name)
        if row:
            pairs = [ours - other for ours, other in zip(recurrent, rows[row]['top1']['per_seed'])]
            found[name] = statistics.mean(pairs), standard_error(pairs)
    return found


def plot_overview(results: Path, path: Path) -> None:
    """Draws :func:`differences` of all settings with two standard errors, as a PNG."""
    figure, axis = plt.subplots(figsize=(9, 6), layout='constrained')
    axis.axvline(0, color='0.3', linewidth=1)
    for place, setting in enumerate(SETTINGS):
        for (name, (mean, error)), shift in zip(differences(setting, results).items(), (-0.2, 0, 0.2)):
            label, colour, mark = AGAINST[name]
            axis.errorbar(mean, place + shift, xerr=2 * error, color=colour, marker=mark, capsize=3, label=label)
        if place % 2:
            axis.axhspan(place - 0.5, place + 0.5, color='0.5', alpha=0.08, linewidth=0)
    axis.set(
        yticks=range(len(SETTINGS)),
        yticklabels=[setting.title for setting in SETTINGS],
        ylim=(len(SETTINGS) - 0.5, -0.5),
        xlabel='recurrent network minus the other one, points of top-1 (bars: two standard errors)',
    )
    handles = dict(zip(*axis.get_legend_handles_labels()[::-1]))
    figure.legend(handles.values(), handles, loc='outside lower center', ncols=1, frameon=False)
    axis.grid(axis='x', alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
