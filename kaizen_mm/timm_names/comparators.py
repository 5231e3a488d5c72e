"""The networks that MFNet is compared with, under names of timm: ``timm.create_model('cornet_s')``.

They take the arguments of the classes in :mod:`kaizen_mm.models.comparators`, and timm's ``img_size`` in place of
``input_size``. ``forward`` gives the last iterate's logits, ``forward_iterates`` those of all. There are no published
weights.
"""

from typing import Sequence, Type, Union

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import (
    build_model_with_cfg,
    generate_default_cfgs,
    register_model,
    register_notrace_module,
    resolve_pretrained_cfg,
)

from kaizen_mm.arguments import check_shape, is_int
from kaizen_mm.layers.iterate_statistics import IndexedBatchNorm2d
from kaizen_mm.models.comparators import (
    ConvRNN,
    CORnetRT,
    CORnetS,
    CORnetZ,
    FeedbackNet,
    IamNN,
    ImageNetwork,
    ShaResNet,
)
from kaizen_mm.timm_names.pretrained import verify_pretrained


def image_cfg(**kwargs) -> dict:
    """What timm is told of a network for photos of ImageNet, and ``kwargs``."""
    return (
        dict(
            url='',
            num_classes=1000,
            input_size=(3, 224, 224),
            pool_size=(7, 7),
            crop_pct=0.875,
            interpolation='bicubic',
            mean=IMAGENET_DEFAULT_MEAN,
            std=IMAGENET_DEFAULT_STD,
            classifier='classifier',
        )
        | kwargs
    )


def _cfg(first_conv: str, paper_ids: str, paper_name: str, **kwargs) -> dict:
    return image_cfg(first_conv=first_conv, paper_ids=paper_ids, paper_name=paper_name) | kwargs


FEATURE_CLASSES = ('getter', 'fx')
register_notrace_module(IndexedBatchNorm2d)  # of Feedback Network: a graph calls it with the index of an iterate
_CORNET = 'CORnet: Modeling the Neural Mechanisms of Core Object Recognition'
default_cfgs = generate_default_cfgs(
    {
        'cornet_s.untrained': _cfg(
            'V1.0', 'arXiv:1909.06161', 'Brain-Like Object Recognition with High-Performing Shallow Recurrent ANNs'
        ),
        'cornet_z.untrained': _cfg('V1.0', 'bioRxiv:408385', _CORNET),
        'cornet_rt.untrained': _cfg('V1.conv_input', 'bioRxiv:408385', _CORNET),
        'sharesnet18.untrained': _cfg(
            'stem.0', 'arXiv:1702.08782', 'ShaResNet: reducing residual network parameter number by sharing weights'
        ),
        'sharesnet34.untrained': _cfg(
            'stem.0', 'arXiv:1702.08782', 'ShaResNet: reducing residual network parameter number by sharing weights'
        ),
        'iamnn.untrained': _cfg(
            'stem.0',
            'arXiv:1804.10123',
            'IamNN: Iterative and Adaptive Mobile Neural Network for Efficient Image Classification',
        ),
        'feedback_net.untrained': _cfg(
            'stem.0', 'arXiv:1612.09508', 'Feedback Networks', input_size=(3, 32, 32), pool_size=(8, 8)
        ),
        'conv_rnn.untrained': _cfg(
            'convs.0',
            'arXiv:1807.00053',
            'Task-Driven Convolutional Recurrent Models of the Visual System',
            pool_size=(4, 4),
        ),
    }
)


def _create(
    network: Type[ImageNetwork],
    variant: str,
    pretrained: bool,
    img_size: Union[int, Sequence[int], None] = None,
    **kwargs,
) -> ImageNetwork:
    features = dict(out_indices=tuple(range(len(network.feature_modules))), feature_cls='getter')
    features.update(kwargs.pop('feature_cfg', {}))
    feature_cls = kwargs.get('feature_cls', features['feature_cls'])
    if kwargs.get('features_only') and feature_cls not in FEATURE_CLASSES:
        raise ValueError(
            f'feature_cls must be one of {FEATURE_CLASSES} for {variant}, whose modules are not all called once and in '
            f'their order; got {feature_cls!r}'
        )
    if img_size is not None:
        if kwargs.get('input_size') is not None:
            raise ValueError(
                f'input_size and img_size exclude each other, got {kwargs["input_size"]!r} and {img_size!r}'
            )
        sides = (img_size, img_size) if is_int(img_size) else img_size
        kwargs['input_size'] = check_shape('img_size', sides, 'or one for both sides', length=2)
    if pretrained:
        verify_pretrained(
            resolve_pretrained_cfg(variant, kwargs.get('pretrained_cfg'), kwargs.get('pretrained_cfg_overlay'))
        )
    return build_model_with_cfg(network, variant, pretrained, feature_cfg=features, **kwargs)


@register_model
def cornet_s(pretrained: bool = False, **kwargs) -> CORnetS:
    """CORnet-S: 53.4 M parameters."""
    return _create(CORnetS, 'cornet_s', pretrained, **kwargs)


@register_model
def cornet_z(pretrained: bool = False, **kwargs) -> CORnetZ:
    """CORnet-Z: 2.1 M parameters, feed-forward."""
    return _create(CORnetZ, 'cornet_z', pretrained, **kwargs)


@register_model
def cornet_rt(pretrained: bool = False, **kwargs) -> CORnetRT:
    """CORnet-RT: 5.2 M parameters."""
    return _create(CORnetRT, 'cornet_rt', pretrained, **kwargs)


@register_model
def sharesnet18(pretrained: bool = False, **kwargs) -> ShaResNet:
    """ShaResNet-18: 8.6 M parameters."""
    return _create(ShaResNet, 'sharesnet18', pretrained, **{'depth': 18, **kwargs})


@register_model
def sharesnet34(pretrained: bool = False, **kwargs) -> ShaResNet:
    """ShaResNet-34: 13.6 M parameters."""
    return _create(ShaResNet, 'sharesnet34', pretrained, **{'depth': 34, **kwargs})


@register_model
def iamnn(pretrained: bool = False, **kwargs) -> IamNN:
    """IamNN: 5.0 M parameters."""
    return _create(IamNN, 'iamnn', pretrained, **kwargs)


@register_model
def feedback_net(pretrained: bool = False, **kwargs) -> FeedbackNet:
    """Feedback Network: 2.0 M parameters, made for images of 32 px."""
    return _create(FeedbackNet, 'feedback_net', pretrained, **kwargs)


@register_model
def conv_rnn(pretrained: bool = False, **kwargs) -> ConvRNN:
    """ConvRNN with reciprocal gated cells: 15.6 M parameters."""
    return _create(ConvRNN, 'conv_rnn', pretrained, **kwargs)
