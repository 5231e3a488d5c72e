"""The folder that a reader of the pages has: tiny data under the names that the pages give it."""

import os
import shutil
from pathlib import Path
from typing import Callable, Dict

import numpy as np
import torch
from PIL import Image

from tests.data.clips import make_video, write

CLASSES = 20


def make(folder: Path) -> None:
    """Data of every kind, and published checkpoints."""
    clip = make_video(folder / 'clip.avi')
    _lists(folder / 'path/to/folder', clip)
    _images(folder / 'path/to/folder')
    _flowers(folder / 'path/to/flowers')
    (folder / 'path/to/fights').symlink_to('folder')
    (folder / 'path/to/tiny-imagenet-20').symlink_to('folder')
    (folder / 'path/to/data').symlink_to('../../data')
    (folder / 'path/to/photos').symlink_to('folder/val/class_00')
    from tests.conftest import write_mnist

    (folder / 'data').mkdir()
    write_mnist(folder / 'data')
    (folder / 'data/tiny-imagenet-20').symlink_to('../path/to/folder')
    _cifar(folder / 'data/cifar10')
    _ucf101(folder, clip)
    make_video(folder / 'clip.mp4')
    (folder / 'more').mkdir()
    clip.rename(folder / 'more/clip.avi')
    shutil.copy(folder / 'path/to/folder/val/class_00/0.png', folder / 'photo.jpg')
    write(folder / 'labels.txt', *(f'class {i}' for i in range(CLASSES)))
    _published(folder)


def _lists(folder: Path, clip: Path) -> None:
    for split, count in (('train', 4), ('val', 2)):
        lines = []
        for i in range(count):
            (folder / 'videos').mkdir(parents=True, exist_ok=True)
            os.link(clip, folder / 'videos' / f'{split}_{i}.avi')
            lines.append(f'{split}_{i}.avi {i % 2}')
        write(folder / f'{split}.txt', *lines)


def _images(folder: Path) -> None:
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        for split in ('train', 'val'):
            (folder / split / f'class_{label:02d}').mkdir(parents=True)
            Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(
                folder / split / f'class_{label:02d}' / '0.png'
            )


def _flowers(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name in ('daisy', 'rose'):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / name / f'{i}.png')


def _cifar(folder: Path) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (800, 1280, 3), np.uint8)
    Image.fromarray(pixels).save(folder / 'sheet_00.webp', quality=10)
    for sheet in (30, 40, 50):  # where the parts for choices and tests begin
        os.link(folder / 'sheet_00.webp', folder / f'sheet_{sheet}.webp')
    write(folder / 'labels.txt', *(n % 10 for n in range(51_000)))


def _ucf101(folder: Path, clip: Path) -> None:
    videos, splits = folder / 'UCF-101', folder / 'ucfTrainTestlist'
    names = [f'Class{label:03d}' for label in range(1, 102)]
    write(splits / 'classInd.txt', *(f'{label} {name}' for label, name in enumerate(names, start=1)))
    lists = {'train': [], 'test': []}
    for label, name in enumerate(names[:3], start=1):
        for group, split in ((8, 'train'), (1, 'test')):
            item = f'{name}/v_{name}_g{group:02d}_c01.avi'
            (videos / item).parent.mkdir(parents=True, exist_ok=True)
            os.link(clip, videos / item)
            lists[split].append(f'{item} {label}' if split == 'train' else item)
    for split, lines in lists.items():
        write(splits / f'{split}list01.txt', *lines)


def _published(folder: Path) -> None:
    """Checkpoints that the pages have from elsewhere."""
    import timm
    from mmengine.hub import get_config
    from mmengine.registry import MODELS, init_default_scope
    from safetensors.torch import save_file

    from tests.models.test_convert import PUBLISHED
    from tests.openmmlab.test_kinetics_route import STOCK

    for kind, name in (
        ('mfnet', 'MFNet3D.pth'),
        ('resnet20_base', 'resnet20-12fca82f.th'),
        ('resnet20', 'released.pth'),
    ):
        torch.save(PUBLISHED[kind](), folder / name)
    save_file(timm.create_model('resnet18').state_dict(), folder / 'resnet18.safetensors')
    init_default_scope('mmaction')
    model = get_config(STOCK).model
    model.backbone.update(base_channels=8, pretrained=None)
    model.cls_head.in_channels = 256
    torch.save(dict(state_dict=MODELS.build(model).state_dict(), meta={}), folder / 'slowonly.pth')


def imagenet(folder: Path) -> None:
    """A thousand classes of one image each."""
    for split in ('train', 'val'):
        for label in range(1000):
            path = folder / 'data/imagenet' / split / f'n{label:08d}' / '0.JPEG'
            path.parent.mkdir(parents=True)
            os.link(folder / 'photo.jpg', path)


def prepared(folder: Path) -> None:
    """ImageNet, and UCF101 as ``tools/prepare_data.py`` leaves it."""
    imagenet(folder)
    (folder / 'data/ucf101').mkdir()
    (folder / 'data/ucf101/videos').symlink_to(folder / 'UCF-101')
    for split in ('train', 'test'):
        lines = (folder / f'ucfTrainTestlist/{split}list01.txt').read_text().split('\n')[:-1]
        write(
            folder / f'data/ucf101/{split}_split1.txt',
            *(f'{line.split()[0]} {label}' for label, line in enumerate(lines)),
        )


def trained(folder: Path) -> None:
    """Networks that other pages have trained."""
    import timm
    from mmengine.config import Config

    import kaizen_mm  # noqa: F401  registers timm's names
    from tests.openmmlab.trained import save

    for name, epoch in (('kaizen_mfnet_list', 20), ('kaizen_mfnet2d_tiny_imagenet_k3', 10)):
        cfg = Config.fromfile(folder / 'configs' / f'{name}.py')
        (folder / 'work_dirs' / name).mkdir(parents=True)
        save(cfg, folder / 'work_dirs' / name / f'epoch_{epoch}.pth')
    torch.save(
        timm.create_model('kaizen_mfnet2d_n9', num_classes=CLASSES, img_size=64, pool_padding=1).state_dict(),
        folder / 'phase_two.pth',
    )


def streams(folder: Path) -> None:
    """Trained networks, and a video of some windows."""
    trained(folder)
    make_video(folder / 'long.mp4', frames=70)


def timm_script(folder: Path) -> None:
    """A stand-in for timm's ``train.py``: takes the options that the page gives it, and writes what it would."""
    (folder / 'train.py').write_text("""
import argparse, os, timm, torch
parser = argparse.ArgumentParser()
parser.add_argument('data_dir')
for name in ('model', 'opt', 'output', 'experiment', 'device'):
    parser.add_argument('--' + name)
for name, kind in (('num-classes', int), ('img-size', int), ('epochs', int), ('lr', float), ('weight-decay', float),
                   ('warmup-epochs', int)):
    parser.add_argument('--' + name, type=kind)
parser.add_argument('--scale', type=float, nargs='+')
args = parser.parse_args()
assert os.path.isdir(os.path.join(args.data_dir, 'train'))
net = timm.create_model(args.model, num_classes=args.num_classes)
folder = os.path.join(args.output, args.experiment)
os.makedirs(folder)
torch.save(dict(state_dict=net.state_dict()), os.path.join(folder, 'last.pth.tar'))
""")


# what else a page finds, by its name
MORE: Dict[str, Callable[[Path], None]] = {
    'exporting.md': trained,
    'photos.md': imagenet,
    'predicting.md': trained,
    'scaling.md': prepared,
    'streams.md': streams,
    'timm.md': timm_script,
    'watching.md': trained,
    'without_openmmlab.md': trained,
}
