"""Networks of small receptive field, with the weights that the package brings, under names of timm.

``timm.create_model('kaizen_bagnet_cifar10', pretrained=True)`` needs no network connection. ``forward`` gives the last
iterate's logits, ``forward_iterates`` those of all. What they were trained on and how well they do is in the model
cards, ``kaizen_mm/weights/NAME.md``.
"""

from dataclasses import replace
from typing import Any, Dict, Optional

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model, resolve_pretrained_cfg
from torch import nn

from kaizen_mm.models.bagnet import BagNet
from kaizen_mm.surgery.network import RecurrentNetwork
from kaizen_mm.timm_names.pretrained import verify_pretrained
from kaizen_mm.weights import FOLDER, network_names

_PHOTOS: Dict[str, Any] = {}
_CLIPS: Dict[str, Any] = dict(dims=3, stem=(16, 5, 2), widths=(24, 32, 32), kernels=(1, 3, 1), strides=(1, 2, 1))
_GLOBAL_2D = dict(adapter='global', hidden=4, rank=1)
_GLOBAL_3D = dict(adapter='global', hidden=8, rank=2)
_PAPER_2D = dict(adapter='paper', pool_kernel=4, pool_stride=4, alpha=0.1)


def _cfg(name: str, **kwargs) -> dict:
    return (
        dict(
            url='',
            file=str(FOLDER / f'{name}.safetensors'),
            num_classes=10,
            input_size=(3, 32, 32),
            pool_size=(8, 8),
            crop_pct=1.0,
            interpolation='bilinear',
            mean=(125.3 / 255, 123.0 / 255, 113.9 / 255),
            std=(63.0 / 255, 62.1 / 255, 66.7 / 255),
            first_conv='conv1',
            classifier='linear',
            license='apache-2.0',
            paper_ids='arXiv:1904.00760',
            paper_name='Approximating CNNs with Bag-of-local-Features models works surprisingly well on ImageNet',
        )
        | kwargs
    )


_CLIP_CFG = dict(num_classes=8, input_size=(1, 16, 32, 32), pool_size=(8, 8), mean=(89.0 / 255,), std=(51.0 / 255,))
default_cfgs = generate_default_cfgs(
    {
        'bagnet_cifar10.seed0': _cfg('bagnet_cifar10'),
        'kaizen_bagnet_cifar10.seed0': _cfg('kaizen_bagnet_cifar10'),
        'kaizen_bagnet_cifar10_paper.seed0': _cfg('kaizen_bagnet_cifar10_paper', fixed_input_size=True),
        'bagnet3d_moving_camera.seed0': _cfg('bagnet3d_moving_camera', **_CLIP_CFG),
        'kaizen_bagnet3d_moving_camera.seed0': _cfg('kaizen_bagnet3d_moving_camera', **_CLIP_CFG),
    }
)


def _create(
    variant: str,
    pretrained: bool,
    network: Dict[str, Any],
    recurrence: Optional[Dict[str, Any]] = None,
    pretrained_cfg=None,
    pretrained_cfg_overlay: Optional[dict] = None,
    num_iterations: int = 2,
    **kwargs,
) -> nn.Module:
    if kwargs.pop('features_only', False):
        raise ValueError(
            f'features_only must be False for {variant}, whose blocks are iterated; forward_features gives the last map'
        )
    cfg = resolve_pretrained_cfg(variant, pretrained_cfg, pretrained_cfg_overlay)
    if pretrained:
        verify_pretrained(cfg)
    channels, *size = cfg.input_size

    def build(img_size=None, in_chans: int = channels, **options) -> nn.Module:
        plain = BagNet(in_chans=in_chans, **{**network, **options})
        if recurrence is None:
            return plain
        shape = in_chans, *(size if img_size is None else (*size[:-2], *img_size))
        return RecurrentNetwork(
            plain,
            block=plain.block_names,
            dynamic=[f'{block}.conv{conv}' for block in plain.block_names for conv in (1, 2)],
            example_input=torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)),
            num_iterations=num_iterations,
            freeze_dynamic=False,
            **recurrence,
        )

    model = build_model_with_cfg(
        build,
        variant,
        pretrained,
        # timm's builder wants three values; the frames are put back below
        pretrained_cfg=replace(cfg, input_size=(channels, *size[-2:])).to_dict(remove_null=False),
        pretrained_filter_fn=_of_network,
        **kwargs,
    )
    model.pretrained_cfg['input_size'] = cfg.input_size
    return model


def _of_network(state_dict, model):
    return network_names(state_dict.get('state_dict', state_dict))


@register_model
def bagnet_cifar10(pretrained: bool = False, **kwargs) -> BagNet:
    """BagNet of patches of 4 x 4 pixels: 6,282 parameters."""
    return _create('bagnet_cifar10', pretrained, _PHOTOS, **kwargs)


@register_model
def kaizen_bagnet_cifar10(pretrained: bool = False, **kwargs) -> RecurrentNetwork:
    """The same, whose blocks are recurrent, with the global adapter: 8,090 parameters."""
    return _create('kaizen_bagnet_cifar10', pretrained, _PHOTOS, _GLOBAL_2D, **kwargs)


@register_model
def kaizen_bagnet_cifar10_paper(pretrained: bool = False, **kwargs) -> RecurrentNetwork:
    """The same with the paper's adapter, for images of 32 px: 7,306 parameters."""
    return _create('kaizen_bagnet_cifar10_paper', pretrained, _PHOTOS, _PAPER_2D, **kwargs)


@register_model
def bagnet3d_moving_camera(pretrained: bool = False, **kwargs) -> BagNet:
    """BagNet of 9 x 9 pixels and 9 frames, for gray clips: 28,680 parameters."""
    return _create('bagnet3d_moving_camera', pretrained, _CLIPS, **kwargs)


@register_model
def kaizen_bagnet3d_moving_camera(pretrained: bool = False, **kwargs) -> RecurrentNetwork:
    """The same, whose blocks are recurrent, with the global adapter: 36,536 parameters."""
    return _create('kaizen_bagnet3d_moving_camera', pretrained, _CLIPS, _GLOBAL_3D, **kwargs)
