"""Networks for ``torch.hub.load``: those of small receptive field, with the weights that the package brings.

torch.hub.load('path/to/a/checkout', 'kaizen_bagnet_cifar10', source='local', pretrained=True)
"""

from kaizen_mm.timm_names.bagnet import (  # noqa: F401
    bagnet3d_moving_camera,
    bagnet_cifar10,
    kaizen_bagnet3d_moving_camera,
    kaizen_bagnet_cifar10,
    kaizen_bagnet_cifar10_paper,
)

dependencies = ['torch', 'timm', 'safetensors']
