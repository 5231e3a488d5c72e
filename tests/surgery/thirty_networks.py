"""``kaizen_mm.recurrent`` on networks of timm, torchvision, mmpretrain, mmaction2 and transformers, as a table.

``python -m tests.surgery.thirty_networks [NAME or LIBRARY ...]`` prints it; the networks are untrained, and of small
inputs. Rows of libraries that cannot be imported say so, as mmaction2 1.2.0 beside recent releases of transformers.
"""

import sys
import time
import warnings
from typing import Dict, Iterable, Iterator, List, NamedTuple, Tuple

import torch
from torch import nn

IMAGE, SMALL, CLIP = (3, 64, 64), (3, 32, 32), (3, 8, 64, 64)

_SMALL = dict(hidden_size=64, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128)  # transformers


class Network(NamedTuple):
    """A network by its name in a library, the shape of its input, and arguments."""

    library: str
    name: str
    shape: Tuple[int, ...] = IMAGE
    options: dict = {}


NETWORKS = [
    Network('timm', 'resnet18'),
    Network('timm', 'resnet50'),
    Network('timm', 'seresnet18'),
    Network('timm', 'convnext_atto'),
    Network('timm', 'vit_tiny_patch16_224', options=dict(img_size=64)),
    Network('timm', 'deit_tiny_patch16_224', options=dict(img_size=64)),
    Network('timm', 'swin_tiny_patch4_window7_224', (3, 112, 112), dict(img_size=112)),
    Network('timm', 'efficientnet_b0'),
    Network('timm', 'mobilenetv3_small_100'),
    Network('timm', 'densenet121'),
    Network('timm', 'regnety_002'),
    Network('timm', 'mixer_s32_224', options=dict(img_size=64)),
    Network('timm', 'mfnet2d_n9'),
    Network('torchvision', 'resnet18'),
    Network('torchvision', 'vgg11'),
    Network('torchvision', 'alexnet'),
    Network('torchvision', 'mobilenet_v2'),
    Network('torchvision', 'densenet121'),
    Network('torchvision', 'googlenet', options=dict(init_weights=False, aux_logits=False)),
    Network('torchvision', 'convnext_tiny'),
    Network('torchvision', 'vit_b_16', options=dict(image_size=64)),
    Network('torchvision', 'swin_t'),
    Network('torchvision', 'video.r3d_18', CLIP),
    Network('torchvision', 'video.r2plus1d_18', CLIP),
    Network('mmpretrain', 'ResNet', options=dict(depth=18)),
    Network('mmpretrain', 'VGG', options=dict(depth=11)),
    Network('mmpretrain', 'ConvNeXt', options=dict(arch='atto')),
    Network('mmpretrain', 'VisionTransformer', options=dict(arch='deit-tiny', img_size=64, patch_size=16)),
    Network('mmpretrain', 'SwinTransformer', (3, 224, 224), dict(arch='tiny', img_size=224)),
    Network('mmpretrain', 'MobileNetV2'),
    Network('mmaction', 'ResNet3dSlowOnly', CLIP, dict(depth=18, pretrained=None, conv1_kernel=(1, 7, 7))),
    Network('mmaction', 'ResNet3dSlowFast', (3, 16, 64, 64), dict(pretrained=None)),
    Network('mmaction', 'C3D', (3, 16, 112, 112)),
    Network('mmaction', 'X3D', CLIP, dict(gamma_w=1, gamma_b=2.25, gamma_d=2.2)),
    Network('mmaction', 'MFNet3d', (3, 16, 64, 64), dict(variant='mfnet3d_n9')),
    Network('transformers', 'ViTForImageClassification', options=dict(**_SMALL, image_size=64, patch_size=8)),
    Network('transformers', 'ConvNextV2ForImageClassification', options=dict(depths=(1, 1, 2, 1))),
    Network(
        'transformers',
        'ResNetForImageClassification',
        options=dict(layer_type='basic', depths=(2, 2, 2, 2), hidden_sizes=(64, 128, 256, 512)),
    ),
    Network('transformers', 'BertForSequenceClassification', (16, 64), dict(**_SMALL, vocab_size=100)),
    Network('kaizen_mm', 'BagNet', SMALL),
    Network('kaizen_mm', 'CifarResNet', SMALL, dict(depth=8, num_classes=10)),
    Network('kaizen_mm', 'MnistCNN', (1, 28, 28)),
]


def build(network: Network) -> nn.Module:
    """The network, of the library that it is of; raises ImportError where that is not installed."""
    torch.manual_seed(0)
    name, options = network.name, network.options
    if network.library == 'timm':
        import timm

        return timm.create_model(name, **options)
    if network.library == 'torchvision':
        import torchvision

        return torchvision.models.get_model(name.rpartition('.')[2], **options)
    if network.library == 'kaizen_mm':
        import kaizen_mm.models

        return getattr(kaizen_mm.models, name)(**options)
    if network.library == 'transformers':
        import transformers

        kind = getattr(transformers, name)
        return kind(kind.config_class(**options))
    return _registry(network.library).build(dict(type=name, **options))


def _registry(library: str):
    if library == 'mmpretrain':
        import mmpretrain.models  # noqa: F401
        from mmpretrain.registry import MODELS
    else:
        import mmaction.models  # noqa: F401
        from mmaction.registry import MODELS
    return MODELS


def row(network: Network) -> Dict[str, str]:
    """What the call chose, or why it refused."""
    import kaizen_mm

    shown = dict(network=f'{network.library} {network.name}')
    try:
        plain = build(network)
    except ImportError as error:
        return {**shown, 'block': f'not run: {error}'[:160]}
    x = torch.randn(1, *network.shape, generator=torch.Generator().manual_seed(0))
    if network.library == 'transformers':
        x = {'pixel_values' if x.dim() == 4 else 'inputs_embeds': x}
    start = time.monotonic()
    try:
        made = kaizen_mm.recurrent(plain, x, quiet=True)
    except ValueError as error:
        return {**shown, 'block': f'refused: {error}'[:160]}
    advice, block = made.advice, made.recurrent_block
    names = [made.block_names[0]] if made.span is None else [*made.span.names]
    return {
        **shown,
        'block': names[0] if len(names) == 1 else f'{names[0]} to {names[-1]}',
        'layers': str(len(block.dynamic)),
        'adapter': 'global' if hasattr(block.adapter, 'global_rows') else "the paper's",
        'weights of h': f'{advice.weights_of_h:,} + {advice.weights:,}',
        'run again': f'{advice.run_again:.0%}',
        'a position sees': ' x '.join(f'{a} of {b}' for a, b in zip(advice.sees, advice.size)) or 'not measured',
        'h reads': 'zeros' if advice.reads_zero else 'something',
        'seconds': f'{time.monotonic() - start:.0f}',
    }


def table(rows: Iterable[Dict[str, str]]) -> Iterator[str]:
    """In Markdown."""
    head: List[str] = []
    for values in rows:
        if not head:
            head = ['network', 'block', 'layers', 'adapter', 'weights of h', 'run again', 'a position sees', 'h reads']
            head.append('seconds')
            yield f'| {" | ".join(head)} |'
            yield f'| {" | ".join(["---"] * len(head))} |'
        yield f'| {" | ".join(values.get(name, "") for name in head)} |'


def main(words: List[str]) -> None:
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    chosen = [network for network in NETWORKS if not words or {network.name, network.library} & set(words)]
    for line in table(map(row, chosen)):
        print(line, flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
