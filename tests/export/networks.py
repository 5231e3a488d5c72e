"""Small recurrent networks whose iterates differ, in evaluation mode."""

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kaizen_mm.models import RecurrentNetwork, mfnet2d_n9

SIZE = (3, 32, 32)


def mfnet(num_iterations=3, **options):
    torch.manual_seed(0)
    return trained(
        mfnet2d_n9(
            num_classes=5,
            widths=(8, 8, 8, 16),
            units=(1, 1, 1, 2),
            groups=4,
            num_iterations=num_iterations,
            input_size=SIZE[1:],
            **{'pool_kernel': 1, 'alpha': 1.0, **options},
        )
    )


def resnet(num_iterations=3, **options):
    """A network that knows nothing of the recurrence."""
    torch.manual_seed(0)
    plain = timm.create_model('test_resnet', num_classes=5, zero_init_last=False)
    return trained(
        RecurrentNetwork(
            plain,
            'layer4.0',
            torch.randn(2, *SIZE),
            'conv1',
            'bn2',
            num_iterations=num_iterations,
            alpha=1.0,
            **options,
        )
    )


def trained(net):
    """With norm statistics and scales that are not those of the start."""
    net.train()
    for i in range(2):
        net.forward_iterates(images(4, seed=i) * (i + 1))
    for norm in net.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    net.eval()
    with torch.no_grad():
        iterates = net.forward_iterates(images(2))
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(iterates, iterates[1:]))
    return net


def images(samples, seed=5):
    return torch.randn(samples, *SIZE, generator=torch.Generator().manual_seed(seed))
