"""The networks that are compared: plain, recurrent in three forms, and MFNet as its authors' implementation runs it."""

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from .formulation import as_published
from .units import per_sample
from .versions import Version


@dataclasses.dataclass(frozen=True)
class NetworkCase:
    """A network and its input.

    Args:
        title: What tables call it.
        network: Name of the plain network of :mod:`kaizen_mm.models`; ``'resnet18'`` for torchvision's, whose last
            block :class:`~kaizen_mm.models.RecurrentNetwork` makes recurrent.
        size: Of its input.
        batch: N.
        iterations: ``K``; None for a plain network beside the original implementation.
        kwargs: Further arguments of the network.
    """

    title: str
    network: str
    size: tuple[int, ...]
    batch: int
    iterations: int | None = 3
    kwargs: dict = dataclasses.field(default_factory=dict, hash=False)


NARROW = dict(widths=(16, 32, 32, 64), units=(1, 1, 1, 2), groups=4)
NETWORKS: dict[str, NetworkCase] = dict(
    mfnet3d_n9_112=NetworkCase('kaizen_mfnet3d_n9, 16x112x112', 'mfnet3d_n9', (16, 112, 112), 8),
    mfnet3d_n9_224=NetworkCase('kaizen_mfnet3d_n9, 16x224x224', 'mfnet3d_n9', (16, 224, 224), 4),
    mfnet2d=NetworkCase('kaizen_mfnet2d, 224x224', 'mfnet2d', (224, 224), 8, 4),
    resnet18=NetworkCase('RecurrentNetwork of resnet18, layer4.1.conv1, 112x112', 'resnet18', (112, 112), 8),
    mfnet3d_original=NetworkCase('mfnet3d, plain, 16x112x112', 'mfnet3d', (16, 112, 112), 2, None),
    mfnet2d_original=NetworkCase('mfnet2d, plain, 224x224', 'mfnet2d', (224, 224), 8, None),
)
QUICK_NETWORKS: dict[str, NetworkCase] = dict(
    mfnet3d_narrow=NetworkCase('kaizen_mfnet3d, narrow', 'mfnet3d', (16, 96, 96), 2, 2, NARROW),
    resnet18=NetworkCase('RecurrentNetwork of resnet18, 64x64', 'resnet18', (64, 64), 2, 2),
    mfnet3d_original=NetworkCase('mfnet3d, narrow, plain', 'mfnet3d', (16, 64, 64), 2, None, NARROW),
)


class AllIterates(nn.Module):
    """A network that gives the logits of every iterate in training, and those of the last one in evaluation."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network: Any = network

    def forward(self, x: Tensor):
        return self.network.forward_iterates(x) if self.training else (self.network(x),)


class PerSampleResNet(nn.Module):
    """torchvision's ResNet whose last block gives K maps."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network: Any = network

    def forward(self, x: Tensor):
        net = self.network
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        maps = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        return tuple(net.fc(net.avgpool(y).flatten(1)) for y in (maps if self.training else maps[-1:]))


class OriginalMFNet(nn.Module):
    """MFNet as the original release computes it: its modules one after the other, in the layout that they are in."""

    def __init__(self, network: nn.Module):
        super().__init__()
        names = ('conv1', 'maxpool', 'conv2', 'conv3', 'conv4', 'conv5', 'tail')
        self.stages = as_published(nn.Sequential(*(getattr(network, name) for name in names)))
        self.dropout: Any = network.dropout
        self.classifier: Any = network.classifier

    def forward(self, x: Tensor):
        return (self.classifier(self.dropout(self.stages(x).flatten(2).mean(2))),)


def build(
    case: NetworkCase, now: Version, before: Version | None = None, num_classes: int = 101
) -> dict[str, nn.Module]:
    """The sides of a case, with the same weights: ``plain``, ``authors``, ``ours``, ``before``; of a plain network
    ``original``, ``ours`` and ``before``."""
    torch.manual_seed(0)
    if case.network == 'resnet18':
        return _resnets(case, now, before, num_classes)
    plain = getattr(now.models, case.network)(num_classes=num_classes, **case.kwargs)
    versions = dict(ours=now) if before is None else dict(ours=now, before=before)
    recurrence = {} if case.iterations is None else dict(num_iterations=case.iterations, input_size=case.size)
    made = {}
    for name, version in versions.items():
        made[name] = getattr(version.models, case.network)(num_classes=num_classes, **recurrence, **case.kwargs)
        made[name].load_state_dict(made['ours'].state_dict())
    made['ours'].load_state_dict(plain.state_dict(), strict=False)
    for network in made.values():
        network.load_state_dict(made['ours'].state_dict())
    sides = {name: AllIterates(network) for name, network in made.items()}
    if case.iterations is None:
        return dict(original=OriginalMFNet(plain), **sides)
    authors = copy.deepcopy(made['ours'])
    authors.conv5[-1] = per_sample(copy.deepcopy(plain.conv5[-1]), authors.recurrent_block)
    return dict(plain=AllIterates(plain), authors=AllIterates(authors), **sides)


def _resnets(case: NetworkCase, now: Version, before: Version | None, num_classes: int) -> dict[str, nn.Module]:
    from torchvision.models import resnet18

    plain = resnet18(num_classes=num_classes)
    x = torch.randn(2, 3, *case.size)
    versions = dict(ours=now) if before is None else dict(ours=now, before=before)
    made = {
        name: version.models.RecurrentNetwork(
            copy.deepcopy(plain),
            block='layer4.1',
            dynamic='conv1',
            feedback='bn2',
            pool_kernel=2,
            example_input=x,
            num_iterations=case.iterations,
        )
        for name, version in versions.items()
    }
    for network in made.values():
        network.load_state_dict(made['ours'].state_dict())
    authors = copy.deepcopy(plain)
    block = next(m for m in made['ours'].modules() if isinstance(m, now.layers.AdaptiveRecurrentBlock))
    authors.layer4[1] = per_sample(copy.deepcopy(plain.layer4[1]), block)
    return dict(
        plain=Plain(plain), authors=PerSampleResNet(authors), **{name: AllIterates(net) for name, net in made.items()}
    )


class Plain(nn.Module):
    """A network whose output is the only iterate."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network: Any = network

    def forward(self, x: Tensor):
        return (self.network(x),)
