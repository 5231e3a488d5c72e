"""Code in checkpoints, on every way in; each makes a file if it is run."""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Iterator

import torch

from kaizen_mm.checkpoint_files import read_checkpoint
from tests.faults.case import Case
from tests.faults.samples import MNIST, Samples, tool, train_images


class Pickled:
    """An object whose unpickling makes a file."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def _pickled(path: Path, trace: Path) -> None:
    checkpoint = read_checkpoint(path)
    checkpoint['meta']['hidden'] = Pickled(trace)
    torch.save(checkpoint, path)


def _pickled_alone(path: Path, trace: Path) -> None:
    torch.save(Pickled(trace), path)


def _old_format(path: Path, trace: Path) -> None:
    torch.save(
        dict(state_dict=read_checkpoint(path)['state_dict'], hidden=Pickled(trace)),
        path,
        _use_new_zipfile_serialization=False,
    )


def _text(path: Path, trace: Path) -> None:
    checkpoint = read_checkpoint(path)
    code = f'x = __import__("os").mkdir({str(trace)!r})\nmodel = dict(type="os.mkdir", path={str(trace)!r})'
    for key in ('config', 'cfg', 'CLASSES', 'env_info', 'hook_msgs'):
        checkpoint['meta'][key] = code
    checkpoint['message_hub']['runtime_info'].update(cfg=code)
    torch.save(checkpoint, path)


POISONS = {
    'a pickled object': _pickled,
    'nothing but a pickled object': _pickled_alone,
    'one of the old format': _old_format,
    'text in meta': _text,
}


def _resume(folder):
    train_images('train_cfg.max_epochs=3', words=['--no-validate', '--resume'])


def _resume_path(folder):
    train_images('train_cfg.max_epochs=3', words=['--no-validate', '--resume', 'work/epoch_2.pth'])


def _load_from(folder):
    shutil.move('work', 'other')
    train_images('load_from=other/epoch_2.pth', words=['--no-validate'])


def _init_cfg(folder):
    from mmengine.config import Config
    from mmpretrain.registry import MODELS

    MODELS.build(
        dict(
            Config.fromfile(MNIST).model.backbone,
            init_cfg=dict(type='Pretrained', checkpoint='work/epoch_2.pth', prefix='backbone.'),
        )
    ).init_weights()


def _mmpretrain(name, folder):
    import mmpretrain.apis
    from mmengine.config import Config

    cfg = Config.fromfile(MNIST)
    getattr(mmpretrain.apis, name)(cfg, 'work/epoch_2.pth', device='cpu')


def _mmaction(folder):
    from mmaction.apis import init_recognizer

    init_recognizer(os.environ['FAULTS_VIDEO_CONFIG'], 'work/epoch_2.pth', device='cpu')


def _mmengine(folder):
    from mmengine.infer import BaseInferencer

    class Inferencer(BaseInferencer):
        _init_pipeline = visualize = postprocess = None

    Inferencer(model=None, weights='work/epoch_2.pth')


def _timm(folder):
    import timm

    timm.create_model(
        'kaizen_mfnet2d_n9',
        pretrained=True,
        num_classes=5,
        img_size=32,
        pool_padding=1,
        pretrained_cfg_overlay=dict(file='work/epoch_2.pth', num_classes=5),
    )


def _mfnet_pretrained(folder):
    from mmaction.registry import MODELS

    MODELS.build(
        dict(type='MFNet3d', variant='mfnet3d_n9', pretrained='work/epoch_2.pth', pretrained2d=True)
    ).init_weights()


WAYS = {
    'train.py --resume': _resume,
    'train.py --resume PATH': _resume_path,
    'load_from': _load_from,
    'init_cfg': _init_cfg,
    'test.py': lambda folder: tool('test.py', MNIST, 'work/epoch_2.pth', '--work-dir', 'test'),
    'convert_checkpoint.py': lambda folder: tool('convert_checkpoint.py', 'mfnet', 'work/epoch_2.pth', 'out.pth'),
    'predict.py': lambda folder: tool('predict.py', 'digit.png', '--config', MNIST, '--checkpoint', 'work/epoch_2.pth'),
    **{
        f'mmpretrain.apis.{name}': partial(_mmpretrain, name)
        for name in ('get_model', 'init_model', 'ImageClassificationInferencer', 'FeatureExtractor')
    },
    'mmaction.apis.init_recognizer': _mmaction,
    'mmengine.infer': _mmengine,
    'timm.create_model': _timm,
    'pretrained of MFNet3d': _mfnet_pretrained,
}


def foreign_code(samples: Samples) -> Iterator[Case]:
    os.environ['FAULTS_VIDEO_CONFIG'] = str(samples.video_config)
    for poison_name, poison in POISONS.items():
        for way_name, way in WAYS.items():
            # text is no harm by itself, and may be read over; objects must be refused, or the checkpoint before be
            # taken
            expected, pattern = ('error or accepted', '') if poison is _text else ('error', '')
            if poison is not _text and way is _resume:
                expected, pattern = 'warned', r'epoch_2\.pth'
            yield Case(
                'foreign code', f'{poison_name}: {way_name}', expected, pattern, partial(_try, samples, poison, way)
            )


def _try(samples, poison, way, folder):
    shutil.copytree(samples.trained, folder / 'work')
    trace = folder / 'seen'
    poison(folder / 'work' / 'epoch_2.pth', trace)
    assert not trace.exists()
    try:
        way(folder)
    finally:
        assert not trace.exists(), 'THE CODE HAS BEEN RUN'
