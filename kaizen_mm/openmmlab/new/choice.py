"""What is chosen for a set of photos or videos: network, weights to start from, batch, epochs, clips."""

import math
from pathlib import Path
from typing import List, NamedTuple, Optional

import torch

from kaizen_mm.arguments import check_choice
from kaizen_mm.openmmlab.new.survey import Survey

NETWORKS = {'photos': ('patches', 'resnet18'), 'videos': ('mfnet', 'slowonly')}
NONE = 'none'  # of --weights: from scratch
STEPS_AN_EPOCH = 10  # that a batch is to leave, where there are so many samples
SMALL = 64  # pixels of the shorter side up to which photos are seen as patches
MANY = 5000  # samples from which on a small network is trained from scratch


class Network(NamedTuple):
    """A way to train: the config that is inherited, and what suits it.

    ``steps`` is how many the first phase is to have, from weights and from scratch; phase two has half as many.
    """

    base: str
    two_phases: bool
    batches: tuple
    steps: tuple
    epochs: tuple  # least and most
    clip: int = 0  # frames
    interval: int = 1  # from one frame to the next, at most
    weights: Optional[str] = None  # that are in the config already, for people


_NETWORKS = {
    'patches': Network('kaizen_bagnet_tiny_imagenet_k2.py', False, (128, 64, 32, 16, 8, 4), (400, 5000), (5, 40)),
    'resnet18': Network(
        'kaizen_resnet18_photos_k2.py',
        True,
        (16, 8, 4),
        (300, 3000),
        (5, 40),
        weights="mmpretrain's ResNet-18 of ImageNet, which is downloaded (47 MB)",
    ),
    'mfnet': Network('kaizen_mfnet_list.py', True, (8, 4, 2), (1000, 2000), (10, 40), 16, 2),
    'slowonly': Network(
        'kaizen_slowonly_r50_list.py',
        True,
        (8, 4, 2),
        (300, 3000),
        (5, 15),
        8,
        8,
        weights="mmaction2's SlowOnly-50 of Kinetics-400, which is downloaded",
    ),
}


class Choice(NamedTuple):
    """What is chosen.

    Attributes:
        network: A name of ``NETWORKS``.
        base: Name of the config that is inherited.
        weights: What phase one, or the training, starts from where it is not what the config says; ``'none'`` for
            nothing.
        batch: Samples of a step.
        phase_one: Epochs of phase one, 0 where there is one phase.
        epochs: Of phase two, or of the training.
        size: Of the photos in pixels where it is not the config's, or 0.
        interval: Frames from one of a clip to the next; 0 of photos.
        rate: Of SGD; 0 where it is the config's.
        why: Lines for people.
    """

    network: str
    base: str
    weights: Optional[str]
    batch: int
    phase_one: int
    epochs: int
    size: int
    interval: int
    rate: float
    why: List[str]


def choose(found: Survey, network: Optional[str] = None, weights: Optional[str] = None) -> Choice:
    """Chooses for what was found.

    Args:
        found: Of the folder.
        network: One of ``NETWORKS`` of its kind. None (default): photos of up to 64 px are seen as patches; others, and
            those for which weights from elsewhere are given, by a ResNet-18 of ImageNet. Videos by a small MFNet, or
            on a GPU by a SlowOnly-50 of Kinetics.
        weights: A file, an address or a name (``kaizen_mm::NAME``, ``timm::NAME``) to start from, or ``'none'``. None
            (default) for those that suit the network and the number of samples.

    Raises:
        ValueError: The network is not for such data.
        FileNotFoundError: There is no such file of weights.
    """
    if network is None:
        own = weights in (None, NONE) or weights.startswith('kaizen_mm::')
        first = found.side <= SMALL and own if found.kind == 'photos' else not torch.cuda.is_available()
        network = NETWORKS[found.kind][0 if first else 1]
    check_choice(f'network for {found.kind}', network, NETWORKS[found.kind])
    settings = _NETWORKS[network]
    if weights not in (None, NONE) and '::' not in weights and '://' not in weights:
        if not Path(weights).is_file():
            raise FileNotFoundError(
                f'weights: no file {weights}; give a file, an address, kaizen_mm::NAME, timm::NAME or {NONE}'
            )
        weights = str(Path(weights).resolve())
    samples = len(found.train)
    if weights is None and network == 'patches' and samples < MANY:
        weights = 'kaizen_mm::kaizen_bagnet_cifar10'
    scratch = weights == NONE or (weights is None and settings.weights is None)
    batch = next((b for b in settings.batches if samples >= STEPS_AN_EPOCH * b), settings.batches[-1])
    steps = math.ceil(samples / batch)
    wanted, (least, most) = settings.steps[scratch], settings.epochs
    epochs = min(max(math.ceil(wanted / steps), least), most)
    after = max(math.ceil(epochs / 2), 3) if settings.two_phases else epochs
    size = 128 if network == 'resnet18' and found.side < 160 else 0
    interval = 0
    if found.kind == 'videos':
        longest = max(found.frames // settings.clip, 1) if found.frames else settings.interval
        interval = min(settings.interval, longest)
    rate = 0.2 * batch / 128 * (1 if scratch else 0.5) if network == 'patches' else 0.0
    why = [_network_line(found, network, settings, size, interval), _weights_line(weights, settings, scratch)]
    why.append(_batch_line(found, batch, steps, epochs, settings))
    if network == 'patches' and samples < MANY:
        why.append(
            f'the recurrence was measured to help with 30,000 photos of CIFAR-10; with {samples} the verdict at the '
            'end of the training will tell'
        )
    if scratch and samples < MANY:
        why.append(
            f'from scratch, {samples} {found.kind} teach a network little'
            + (': --network slowonly starts from Kinetics, at many times the cost' if network == 'mfnet' else '')
        )
    if len(found.val) < 100:
        why.append(
            f'of {len(found.val)} {found.kind} to validate on, one is {100 / len(found.val):.0f} points: accuracies '
            'tell little, and small differences nothing'
        )
    if found.kind == 'videos' and 0 < found.frames < settings.clip:
        why.append(f'half of the videos have fewer frames than a clip of {settings.clip}: frames come twice')
    return Choice(
        network, settings.base, weights, batch, epochs if settings.two_phases else 0, after, size, interval, rate, why
    )


def _network_line(found: Survey, network: str, settings: Network, size: int, interval: int) -> str:
    if network == 'patches':
        return (
            'a small network that sees patches of photos of 32 px, and whose feedback sees all of them (K = 2); '
            '--network resnet18 fine-tunes a ResNet-18 of ImageNet'
        )
    if network == 'resnet18':
        return (
            f'ResNet-18 on photos of {size or 224} px; its last block is made recurrent (K = 2); --network patches '
            'takes a small network in which the recurrence has helped'
        )
    seconds = f', {settings.clip * interval / found.rate:.1f} s' if found.rate else ''
    name = 'MFNet-3D of 0.5 M parameters' if network == 'mfnet' else 'SlowOnly-50'
    pixels = 112 if network == 'mfnet' else 224
    spoken = {1: 'every frame', 2: 'every second frame'}.get(interval, f'every {interval}th frame')
    return f'{name} on clips of {settings.clip} frames of {pixels} px, {spoken}{seconds} (K = 3)'


def _weights_line(weights: Optional[str], settings: Network, scratch: bool) -> str:
    if scratch:
        return 'starts from scratch'
    if weights is None:
        return f'starts from {settings.weights}; --weights FILE takes a file, --weights {NONE} none'
    note = ', 10 classes of photos of 32 px; they come with the package' if weights.startswith('kaizen_mm::') else ''
    return f'starts from {weights}{note}; its classifier starts anew'


def _batch_line(found: Survey, batch: int, steps: int, epochs: int, settings: Network) -> str:
    line = f'{len(found.train)} {found.kind} in batches of {batch} are {steps} step{"s" * (steps > 1)} an epoch'
    phase = ' of phase one' if settings.two_phases else ''
    line += f'; {epochs} epochs{phase} make {epochs * steps} steps'
    if len(found.train) < STEPS_AN_EPOCH * settings.batches[0]:
        usual = math.ceil(len(found.train) / settings.batches[0])
        line += f' (batches of {settings.batches[0]} would make {epochs * usual})'
    return line
