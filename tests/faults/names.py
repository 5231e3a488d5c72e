"""Names from outside and what is compared by them: classes of two data sets, labels, seeds, logs of a folder."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from mmengine.config import Config

from kaizen_mm.inference import class_names
from kaizen_mm.inference.timm_networks import TimmPredictor
from kaizen_mm.lab.curves import find_runs
from kaizen_mm.lab.experiment import compare
from kaizen_mm.report import Outcomes, render
from tests.faults.case import Case
from tests.faults.samples import MNIST, ROOT, Samples, checkpoints, tool, train

PHOTOS = ROOT / 'configs' / 'kaizen_mfnet2d_tiny_imagenet_k2.py'
# a line of scalars.json, and what is to be said of it
LINES = (
    ('no step', '{"loss": 1.0, "iter": 1}', 'step'),
    ('no iteration', '{"loss": 1.0, "iter": 0, "step": 1, "epoch": 1}', 'iter must'),
    ('epoch 0', '{"loss": 1.0, "iter": 1, "step": 1, "epoch": 0}', 'epoch must'),
    ('text for a number', '{"loss": 1.0, "iter": "1", "step": 1}', 'iter must'),
    ('null', '{"loss": 1.0, "iter": 1, "step": null}', 'step must'),
    ('a list', '{"loss": 1.0, "iter": 1, "step": [1]}', 'step must'),
    ('NaN', '{"loss": 1.0, "iter": 1, "step": NaN}', 'step must'),
    ('a number of 400 digits', f'{{"loss": 1{"0" * 400}, "iter": 1, "step": 1}}', 'loss must'),
    ('no dict', '[1]', 'expected'),
    ('100,000 brackets', '[' * 100_000, 'no line of scalars'),
    ('no JSON', 'nonsense', 'no line of scalars'),
)
# a config that a training has left, which would make a file if it were run
CONFIGS = (
    "open('ran', 'w')",
    "phase_one = dict(work_dir=open('ran', 'w').name)",
    "phase_one = __import__('os').mknod('ran')",
    '_base_ = [\'{{ __import__("os").mknod("ran") }}\']',
    'phase_one = dict(',
    '(' * 10_000,
)
NAMES = ('$x$', r'$\frac{1}$', '\x1b[2J', '<script>', '\u202egpj', '\udcff', '=1+2', '\0')


def names(samples: Samples) -> Iterator[Case]:
    yield Case('names', 'validation of other classes', 'error', "train.*'class_0'.*val.*'a'", partial(_moved, samples))
    yield Case(
        'names', 'the same under classes.txt', 'error', "'class_0'.*'a'", partial(_moved, samples, shown='r\ng\nb\ny\n')
    )
    for command in ('test.py', 'report.py'):
        for name, classes, expected, pattern in (
            ('of photos', [f'photo {i}' for i in range(10)], 'error', "'photo 0'.*'0'"),
            ('in another order', list('0123456798'), 'error', "8 '9', 9 '8'.*8 '8', 9 '9'"),
            ('not told', None, 'warned', 'does not tell the names'),
        ):
            act = partial(_checkpoint, samples, command, classes)
            yield Case('names', f'{command}, classes of the checkpoint {name}', expected, pattern, act)
    for name, content, pattern in (
        ('equal names', 'a\nb\na\n', 'line 1 and in line 3'),
        ('other names', 'a\nc\nb\n', "1 'b', 2 'c'.*1 'c', 2 'b'"),
        ('other names to be shown', 'x\ty\n', 'none of x'),
        ('equal names to be shown', 'a\tx\nb\tx\n', "'x' in line 1 and"),
    ):
        yield Case('names', f'labels, {name}', 'error', pattern, partial(_labels, content))
    yield Case('names', 'labels of others than a checkpoint under --timm tells', 'error', "1 'b'.*1 'c'", _timm)
    for seeds in ([0, 0], [1, 0, 1], [-1], []):
        yield Case('names', f'compare with seeds {seeds}', 'error', 'seeds must be different', partial(_seeds, seeds))
    for seconds in ('-1', 'nan', 'inf', 'x'):
        act = partial(_benchmark, seconds)
        yield Case('names', f'benchmark of {seconds} seconds', 'error', '--seconds', act)
    for name, line, pattern in LINES:
        yield Case('names', f'scalars.json, {name}', 'error', f'json:1: .*{pattern}', partial(_scalars, line))
    for row in ('{"loss": {"a": 1}, "iter": 1, "step": 1}', '{"my_loss": 1.0, "iter": 1, "step": 1}'):
        act = partial(_scalars, row, good=False)
        yield Case('names', f'scalars.json without numbers: {row[:10]}', 'error', 'nothing to draw of work', act)
    for config in CONFIGS:
        yield Case('names', f'plot_run, config {config[:40]}', 'accepted', '', partial(_config, config))
    for name in NAMES:
        yield Case('names', f'a class {name!a} on a page', 'accepted', '', partial(_page, name))


def _moved(samples, folder, shown=None):
    """Validation lacks the last class and has one before the first: all but one of its labels mean another class."""
    root = Path(shutil.copytree(samples.images, folder / 'images'))
    shutil.rmtree(root / 'val' / 'class_3')
    shutil.copytree(root / 'val' / 'class_0', root / 'val' / 'a')
    if shown:
        (root / 'classes.txt').write_text(shown)
    loaders = [f'{loader}_dataloader.dataset.data_root={root}' for loader in ('train', 'val', 'test')]
    try:
        train(PHOTOS, '--work-dir', 'work', '--cfg-options', *loaders)
    finally:
        assert not checkpoints(folder), 'trained before the error'


def _checkpoint(samples, command, classes, folder):
    checkpoint = torch.load(samples.trained / 'epoch_2.pth', weights_only=False)
    checkpoint['meta']['dataset_meta'] = {} if classes is None else dict(classes=classes)
    torch.save(checkpoint, folder / 'a.pth')
    tool(command, MNIST, 'a.pth', *(['--work-dir', 'test'] if command == 'test.py' else []))


def _labels(content, folder):
    (folder / 'labels.txt').write_text(content)
    return class_names(
        3 if '\t' not in content else 2, folder / 'labels.txt', list('abc' if '\t' not in content else 'ab')
    )


def _timm(folder):
    network = timm.create_model('test_resnet', num_classes=3)
    meta = dict(dataset_meta=dict(classes=list('abc')))
    torch.save(dict(state_dict=network.state_dict(), meta=meta), folder / 'net.pth')
    (folder / 'labels.txt').write_text('a\nc\nb\n')
    TimmPredictor('test_resnet', folder / 'net.pth', labels=folder / 'labels.txt', num_classes=3)


def _seeds(seeds, folder):
    compare(Config.fromfile(MNIST), Config.fromfile(MNIST.with_name('mnist_control.py')), str(folder), seeds)


def _benchmark(seconds, folder):
    tool('benchmark.py', 'block', '--quick', f'--seconds={seconds}')


def _log(folder, *lines, good=True):
    place = folder / 'work' / '1' / 'vis_data'
    place.mkdir(parents=True)
    last = [json.dumps(dict(loss=1.0, iter=1, step=1, epoch=1))] if good else []
    (place / 'scalars.json').write_text(''.join(f'{line}\n' for line in (*lines, *last)))
    return place


def _scalars(line, folder, good=True):
    _log(folder, line, good=good)
    tool('plot_run.py', 'work')


def _config(config, folder):
    (_log(folder) / 'config.py').write_text(config)
    find_runs([folder / 'work'])
    assert not (folder / 'ran').exists(), 'the config was run'


def _page(name, folder):
    scores = np.array([[[0.9, 0.1], [0.1, 0.9]], [[0.2, 0.8], [0.9, 0.1]]])
    page = render(Outcomes(scores, [0, 1], [name, 'b'], [f'{name}.png', 'b.png']), name)
    page.encode('utf-8')
    assert not set(page) & set('\x1b\u202e\0') and '<script' not in page
