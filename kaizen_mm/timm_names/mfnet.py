"""MFNet under names of timm: ``import kaizen_mm``, then ``timm.create_model('kaizen_mfnet2d')``.

The networks take the arguments of :class:`kaizen_mm.models.MFNet`, and timm's ``img_size`` (an int
or ``(H, W)``) in place of ``input_size``. ``forward`` gives the last iterate's logits, so that timm's
own scripts train and test them; ``forward_iterates`` gives those of all iterates, for training with
:class:`kaizen_mm.losses.KaizenLoss`:

    net = timm.create_model('kaizen_mfnet2d_n9', num_classes=200, img_size=64, pool_padding=1,
                            pretrained=True, freeze_dynamic=True,
                            pretrained_cfg_overlay=dict(file='phase_one.pth', num_classes=200))
    loss = KaizenLoss()(net.forward_iterates(images), labels)

timm's train.py sets the size of the images alone; a recurrent network, whose ``h`` is built for one size, is told by
``--img-size 64 --model-kwargs img_size=64 pool_padding=1``. With ``adapter='global'``, ``'slots'`` or ``'experts'`` it
takes any size and needs ``--img-size 64 --model-kwargs adapter=global`` alone.

There are no published weights. A checkpoint file of the plain network fills all of a recurrent one
but ``h``, as above. ``freeze_dynamic`` is False by default here, where a network may well start from
nothing; it is to be True in the second phase of training, after the plain network has been trained.
"""

from dataclasses import replace
from typing import Optional, Sequence, Union

from kaizen_mm.arguments import check_shape, is_int
from kaizen_mm.extras import naming_extras
from kaizen_mm.layers import AdaptiveRecurrentBlock, PerIterate
from kaizen_mm.layers.adapters import adapter_kind
from kaizen_mm.models.mfnet import NINE_UNITS, MFNet
from kaizen_mm.models.mfnet_arguments import check_input_size

with naming_extras():
    from timm.models import (
        build_model_with_cfg,
        generate_default_cfgs,
        register_model,
        register_notrace_module,
        resolve_pretrained_cfg,
    )

    from kaizen_mm.timm_names.comparators import image_cfg
    from kaizen_mm.timm_names.pretrained import verify_pretrained

register_notrace_module(AdaptiveRecurrentBlock)
register_notrace_module(PerIterate)


def _cfg(**kwargs):
    return (
        image_cfg(
            first_conv='conv1.conv',
            license='apache-2.0',
            paper_ids='arXiv:1807.11195',
            paper_name='Multi-Fiber Networks for Video Recognition',
            origin_url='https://github.com/cypw/PyTorch-MFNet',
        )
        | kwargs
    )


def _video_cfg(**kwargs):
    return _cfg(num_classes=400, input_size=(3, 16, 224, 224), pool_size=(8, 7, 7)) | kwargs


# the paper's h is built for one size of its feedback map
_RECURRENT = dict(
    fixed_input_size=True,
    paper_ids='arXiv:1910.11105',
    paper_name='Adaptive and Iteratively Improving Recurrent Lateral Connections',
    origin_url='',
)

default_cfgs = generate_default_cfgs(
    {
        'mfnet2d.untrained': _cfg(),
        'mfnet2d_n9.untrained': _cfg(),
        'kaizen_mfnet2d.untrained': _cfg(**_RECURRENT),
        'kaizen_mfnet2d_n9.untrained': _cfg(**_RECURRENT),
        'mfnet3d.untrained': _video_cfg(),
        'mfnet3d_n9.untrained': _video_cfg(),
        'kaizen_mfnet3d_n9.untrained': _video_cfg(**_RECURRENT),
    }
)


def _create_mfnet(
    variant: str,
    dims: int,
    pretrained: bool = False,
    pretrained_cfg=None,
    pretrained_cfg_overlay: Optional[dict] = None,
    input_size: Optional[Sequence[int]] = None,
    img_size: Union[int, Sequence[int], None] = None,
    **kwargs,
) -> MFNet:
    cfg = resolve_pretrained_cfg(variant, pretrained_cfg, pretrained_cfg_overlay)
    if adapter_kind(kwargs.get('adapter') or 'paper').any_size:
        cfg = replace(cfg, fixed_input_size=False)
    if pretrained:
        verify_pretrained(cfg)
    channels, *size = cfg.input_size
    if img_size is not None:
        sides = (img_size, img_size) if is_int(img_size) else img_size
        sides = check_shape('img_size', sides, 'or one for both sides', length=2)
        if input_size is not None and (not isinstance(input_size, (list, tuple)) or tuple(input_size[-2:]) != sides):
            raise ValueError(f'input_size and img_size exclude each other, got {input_size!r} and {img_size!r}')
        if input_size is None:  # a folder of timm's has both
            input_size = (*size[:-2], *sides)
    if input_size is not None:
        size = check_input_size(dims, input_size)
        kwargs['img_size'] = tuple(size[-2:])
    if (
        kwargs.get('features_only')
        and kwargs.get('num_iterations') is not None
        and kwargs.get('feature_cls', 'getter') != 'getter'
    ):
        raise ValueError(
            "feature_cls must be 'getter' in a recurrent network, whose last stage gives a tuple of "
            f'iterates; got {kwargs["feature_cls"]!r}'
        )

    def network(img_size=None, **kwargs):  # timm passes img_size where the input size is fixed
        return MFNet(dims, input_size=size if img_size is None else (*size[:-2], *img_size), **kwargs)

    model = build_model_with_cfg(
        network,
        variant,
        pretrained,
        # timm's builder wants three values; the frames are put back below
        pretrained_cfg=replace(cfg, input_size=(channels, *cfg.input_size[-2:])).to_dict(remove_null=False),
        pretrained_filter_fn=_keep_adapter,
        feature_cfg=dict(out_indices=(0, 1, 2, 3, 4), feature_cls='getter'),
        **kwargs,
    )
    model.pretrained_cfg['input_size'] = cfg.input_size
    return model


def _keep_adapter(state_dict, model):
    """Completes the weights of a plain network with the ``h`` of a recurrent one."""
    state_dict = state_dict.get('state_dict', state_dict)
    own = {name: value for name, value in model.state_dict().items() if '.adapter.' in name}
    return {**own, **state_dict}


@register_model
def mfnet2d(pretrained: bool = False, **kwargs) -> MFNet:
    """MFNet-2D, 16 units."""
    return _create_mfnet('mfnet2d', 2, pretrained, **kwargs)


@register_model
def mfnet2d_n9(pretrained: bool = False, **kwargs) -> MFNet:
    """MFNet-2D of nine units, a quarter as wide."""
    return _create_mfnet('mfnet2d_n9', 2, pretrained, **{**NINE_UNITS, **kwargs})


@register_model
def kaizen_mfnet2d(pretrained: bool = False, num_iterations: int = 3, **kwargs) -> MFNet:
    """MFNet-2D with an adaptive recurrent last unit."""
    return _create_mfnet(
        'kaizen_mfnet2d', 2, pretrained, num_iterations=num_iterations, **{'freeze_dynamic': False, **kwargs}
    )


@register_model
def kaizen_mfnet2d_n9(pretrained: bool = False, num_iterations: int = 3, **kwargs) -> MFNet:
    """MFNet-2D of nine units with an adaptive recurrent last unit."""
    return _create_mfnet(
        'kaizen_mfnet2d_n9',
        2,
        pretrained,
        num_iterations=num_iterations,
        **{'freeze_dynamic': False, **NINE_UNITS, **kwargs},
    )


@register_model
def mfnet3d(pretrained: bool = False, **kwargs) -> MFNet:
    """MFNet-3D, 16 units."""
    return _create_mfnet('mfnet3d', 3, pretrained, **kwargs)


@register_model
def mfnet3d_n9(pretrained: bool = False, **kwargs) -> MFNet:
    """MFNet-3D of nine units, a quarter as wide."""
    return _create_mfnet('mfnet3d_n9', 3, pretrained, **{**NINE_UNITS, **kwargs})


@register_model
def kaizen_mfnet3d_n9(pretrained: bool = False, num_iterations: int = 3, **kwargs) -> MFNet:
    """MFNet-3D of nine units with an adaptive recurrent last unit."""
    return _create_mfnet(
        'kaizen_mfnet3d_n9',
        3,
        pretrained,
        num_iterations=num_iterations,
        **{'freeze_dynamic': False, **NINE_UNITS, **kwargs},
    )
