"""Configs and checkpoints that are wrong, before the tools that take them."""

import gzip
import random
import runpy
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Callable, Iterator

import mmpretrain
import torch
from mmengine.config import Config

from kaizen_mm.checkpoint_files import read_checkpoint
from tests.faults.case import Case
from tests.faults.samples import IMAGE, MNIST, Samples, checkpoints, tool, train, train_images

# an option of --cfg-options, and what the error is to name
OPTIONS = (
    ('model.backbone.num_iterations=0', 'num_iterations'),
    ('model.backbone.num_iterations=x', 'num_iterations'),
    ('model.backbone.num_iterations=1000000', 'num_iterations'),
    ('model.backbone.alpha=-1', 'alpha'),
    ('model.backbone.alpha=nan', 'alpha'),
    ('model.backbone.bound=relu', 'bound'),
    ('model.backbone.alhpa=1', 'alhpa'),
    ('model.backbone.norm_statistics=none', 'norm_statistics'),
    ('model.backbone.type=MnistCn', 'MnistCn'),
    ('model.head.loss.gammas=0.1', 'gammas'),
    ('model.head.loss.gammas=[0.1,0.1,0.1]', 'gammas'),
    ('model.head.loss.kaizen_weight=-1', 'kaizen_weight'),
    ('model.head.loss.hinge=all', 'hinge'),
    ('model.head.loss.label_smoothing=0.1', 'label_smoothing'),
    ('modl.backbone.num_iterations=2', 'modl'),
    ('optim_wrapper.paramwise_cfg.custom_keys.adaptr.lr_mult=5', 'adaptr'),
    ('optim_wrapper.optimizer.lr=-1', 'lr|rate'),
    ('optim_wrapper.optimizer.lr=1e30', 'loss|finite|NaN|nan'),
    ('phase_one.optim_wrapper.optimizer.lr=1e30', 'finite|NaN|nan'),
    ('optim_wrapper.optimizer.type=Adm', 'Adm'),
    ('train_cfg.max_epochs=0', 'max_epochs'),
    ('train_cfg.max_epochs=-1', 'max_epochs'),
    ('train_cfg.val_interval=0', 'val_interval'),
    ('train_dataloader.batch_size=0', 'batch_size'),
    ('train_dataloader.num_workers=-1', 'num_workers'),
    ('train_dataloader.persistent_workers=True', 'persistent_workers'),
    ('train_dataloader.dataset.split=validation', 'split'),
    ('train_dataloader.dataset.max_images=0', 'max_images'),
    ('train_dataloader.dataset.data_root=nowhere', 'nowhere'),
    ('phase_one=None', 'phase one|phase_one|load_from'),
    ('phase_one.train_cfg.max_epochs=0', 'max_epochs'),
    ('phase_one.modl.backbone=1', 'modl'),
    ('load_from=nowhere.pth', 'nowhere'),
    ('train_dataloader=3', 'train_dataloader must be a dict, got 3'),
    ('phase_one.optim_wrapper.optimizer=Adam', 'phase_one.optim_wrapper.optimizer must be a dict'),
    ('custom_hooks=x', 'custom_hooks must be a list of dicts'),
    ('model.backbone=[1]', 'model.backbone must be a dict'),
    ('default_hooks.recurrence.interval=0', 'interval'),
)
ACCEPTED = (
    'train_cfg.max_epochs=1',
    'model.backbone.num_iterations=3',
    'model.head.loss.gammas=[0.1]',
    'randomness.seed=7',
    'model.backbone.alpha=0',
    'custom_hooks=[]',
)  # phase one is trained whatever the hooks


def configs(samples: Samples) -> Iterator[Case]:
    for option, pattern in OPTIONS:
        yield Case('configs', option, 'error', pattern, partial(_train_nothing, option))
    for option in ACCEPTED:
        yield Case('configs', option, 'accepted', '', partial(_train_all, option))
    for name, content, pattern in (
        ('empty config', '', 'no model'),
        ('no Python', 'model = dict(', 'config.py is no Python'),
        ('no such base', "_base_ = ['nowhere.py']", 'nowhere'),
    ):
        yield Case('configs', name, 'error', pattern, partial(_train_config, content))
    for change in (
        "runner_type = 'Runner'",
        "load_from = 'trained.pth'",
        'model = dict(backbone=dict(num_iterations=1))',
    ):
        name = f'phase_one without our runner and hooks, {change}'
        yield Case(
            'configs',
            name,
            'error',
            "add the line runner_type = 'KaizenRunner'",
            partial(_train_stock, change, samples),
        )


def _train_nothing(option, folder):
    try:
        train_images(option, words=['--no-validate'] if 'val_interval' not in option else [])
    except BaseException as error:
        left = [path for path in checkpoints(folder) if 'phase_one' not in path.parts or 'lr=1e30' not in option]
        if '=1e30' in option:  # weights that are not finite must not be kept
            left = [
                path
                for path in left
                if not all(torch.isfinite(value).all() for value in read_checkpoint(path)['state_dict'].values())
            ]
        assert not left, f'{left} written before: {type(error).__name__}: {error}'
        raise


def _train_all(option, folder):
    train_images(option, words=['--no-validate'])
    assert list((folder / 'work').glob('epoch_*.pth')) and list((folder / 'work' / 'phase_one').glob('epoch_*.pth'))


def _train_config(content, folder):
    (folder / 'config.py').write_text(content)
    train(folder / 'config.py', '--work-dir', 'work')


def _train_stock(change, samples, folder):
    """By mmpretrain's own tool, of a config that has lost what names this package's runner and hooks."""
    cfg = Config.fromfile(MNIST)
    cfg.pop('runner_type')
    cfg.custom_hooks, cfg.default_hooks = [], {}
    cfg.train_dataloader.batch_size = 200
    cfg.dump(folder / 'lost.py')
    (folder / 'config.py').write_text(f"_base_ = ['lost.py']\n{change}\n")
    shutil.copy(samples.trained / 'phase_one' / 'epoch_2.pth', folder / 'trained.pth')
    stock = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py'
    sys.argv = ['train.py', str(folder / 'config.py'), '--work-dir', 'work']
    try:
        runpy.run_path(str(stock), run_name='__main__')
    except ValueError:
        assert not checkpoints(folder / 'work')
        raise


def damages() -> Iterator[tuple]:
    """Name, function of a checkpoint's path that damages it."""
    draw = random.Random(0)
    for _ in range(4):
        share = draw.uniform(0.02, 0.98)
        yield f'cut to {share:.0%}', partial(_cut, share)
    for number in range(3):
        yield f'a byte of tensor {number} flipped', partial(_flip_tensor, number)
    yield 'empty', lambda path: path.write_bytes(b'')
    yield 'text', lambda path: path.write_text('no checkpoint')
    yield 'a damaged pickle', lambda path: path.write_bytes(b'\x80\x02l\xfc\x9cF' + draw.randbytes(200))
    yield 'a list', lambda path: torch.save([1, 2], path)
    yield (
        'NaN',
        partial(_changed, lambda checkpoint: [v.fill_(float('nan')) for v in checkpoint['state_dict'].values()]),
    )
    yield 'no weights', partial(_changed, lambda checkpoint: checkpoint.pop('state_dict'))


def damaged_checkpoints(samples: Samples) -> Iterator[Case]:
    for name, damage in damages():
        refused = r'epoch_2\.pth|finite|state dict'
        yield Case('checkpoints', f'{name}: test.py', 'error', refused, partial(_test, samples, damage))
        yield Case('checkpoints', f'{name}: load_from', 'error', refused, partial(_load_from, samples, damage))
        # the one before is taken instead, and it is said
        yield Case('checkpoints', f'{name}: --resume', 'warned', r'epoch_2\.pth', partial(_resume, samples, damage))
    for name, damage in (
        ('empty', lambda path: path.write_text('')),
        ('missing', Path.unlink),
        ('garbage', lambda path: path.write_bytes(bytes(range(128, 256)))),
        ('of another folder', lambda path: path.write_text('/nowhere/epoch_1.pth')),
    ):
        for phase in ('', 'phase_one'):
            yield Case(
                'checkpoints',
                f'last_checkpoint of {phase or "phase two"} {name}: --resume',
                'accepted',
                '',
                partial(_resume_without_note, samples, phase, damage),
            )
    for name, network, pattern in (
        ('another network', 'mnist_big', 'architecture|another'),
        ('more classes', 'wide', 'shape'),
    ):
        yield Case('checkpoints', f'{name}: load_from', 'error', pattern, partial(_other_network, samples, network))
    for key in ('load_from', 'phase_one.load_from'):
        act = partial(_started_from_another_k, samples, key)
        yield Case('checkpoints', f'of another K: {key}', 'warned', 'was trained with 2 iterations, the network', act)
    for prefix, expected, pattern in (
        ('nothing.', 'error', r"backbone\.init_cfg: .*epoch_2\.pth has no weights under the prefix 'nothing\.'"),
        ('backbone.', 'accepted', ''),
    ):
        for hooks in ([], ['custom_hooks=[]']):
            act = partial(_initialized, samples, prefix, hooks)
            name = f'init_cfg of prefix {prefix}{", without hooks" if hooks else ""}'
            yield Case('checkpoints', name, expected, pattern, act)
    yield Case(
        'checkpoints',
        'another config in a used folder',
        'error',
        r'batch_size',
        lambda folder: (
            _copy(samples, folder),
            train_images('train_dataloader.batch_size=300', words=['--no-validate', '--resume']),
        ),
    )


def resuming(samples: Samples) -> Iterator[Case]:
    for name, options, pattern in (
        ('of phase one', [], 'is a checkpoint of phase one'),
        ('of another K', ['model.backbone.num_iterations=3'], 'trained with 2 iterations'),
        ('of another network', ['model.backbone.fc2_features=7'], 'fc2_features|another network'),
        ('that is not there', [], r'nowhere\.pth'),
    ):
        path = {'of phase one': 'phase_one/epoch_1.pth', 'that is not there': 'nowhere.pth'}.get(name, 'epoch_2.pth')
        act = partial(_resume_by_name, samples, path, options)
        yield Case('resuming', f'a checkpoint {name}, by name', 'error', pattern, act)
    for missing in ('optimizer', 'param_schedulers', 'message_hub', 'meta', None):
        act = partial(_resume_from_less, samples, missing)
        pattern = rf'less\.pth is no whole state of a training: it has no .*{missing or "optimizer"}'
        yield Case('resuming', f'a checkpoint without {missing or "all but weights"}', 'error', pattern, act)
    for option in ('model.backbone.alpha=0.5', 'train_dataloader.batch_size=100'):
        act = partial(_resume_by_name, samples, 'epoch_2.pth', [option])
        yield Case(
            'resuming', f'with {option}', 'warned', rf'differs from this one in:\n{option.partition("=")[0]}: ', act
        )
    for name, act, expected, pattern in (
        ('the clock went back', _clock, 'accepted', ''),
        ('a record that points to other weights', _other_weights, 'error', 'is not the checkpoint that the training'),
        ('phase one started from what is no more', _stale_start, 'error', 'what is in load_from'),
        ('data with other bytes', partial(_other_bytes, 'train-labels*'), 'error', 'the files read of data_root'),
        ('test data with other bytes', partial(_other_bytes, 't10k-labels*'), 'accepted', ''),
    ):
        yield Case('resuming', name, expected, pattern, partial(act, samples))


def _resume_by_name(samples, name, options, folder):
    words = ['--work-dir', 'new', '--no-validate', '--resume', samples.trained / name]
    train(MNIST, *words, '--cfg-options', *IMAGE, 'train_cfg.max_epochs=3', *options)
    assert (folder / 'new' / 'epoch_3.pth').exists()


def _resume_from_less(samples, missing, folder):
    checkpoint = read_checkpoint(samples.trained / 'epoch_2.pth')
    less = {key: value for key, value in checkpoint.items() if key != missing} if missing else checkpoint['state_dict']
    torch.save(less, folder / 'less.pth')
    train(MNIST, '--work-dir', 'new', '--no-validate', '--resume', 'less.pth', '--cfg-options', *IMAGE)


def _clock(samples, folder):
    _changed(lambda checkpoint: checkpoint['meta'].update(time='20000101_000000'), _copy(samples, folder))
    stamp = (folder / 'work' / 'epoch_2.pth').stat().st_mtime_ns
    train_images('train_cfg.max_epochs=3', words=['--no-validate', '--resume'])
    assert (folder / 'work' / 'epoch_2.pth').stat().st_mtime_ns == stamp, 'epoch 2 has been trained again'


def _other_weights(samples, folder):
    _copy(samples, folder)
    one = folder / 'work' / 'phase_one'
    shutil.copy(one / 'epoch_2.pth', folder / 'other.pth')
    _changed(lambda checkpoint: [v.mul_(2) for v in checkpoint['state_dict'].values()], folder / 'other.pth')
    record = (one / 'training.json').read_text()
    (one / 'training.json').write_text(record.replace('"epoch_2.pth"', f'"{folder / "other.pth"}"'))
    train_images(words=['--no-validate'])


def _stale_start(samples, folder):
    start = folder / 'start.pth'
    shutil.copy(samples.trained / 'phase_one' / 'epoch_2.pth', start)
    train_images(f'phase_one.load_from={start}', words=['--no-validate'])
    _changed(lambda checkpoint: [v.mul_(2) for v in checkpoint['state_dict'].values()], start)
    train_images(f'phase_one.load_from={start}', words=['--no-validate'])


def _other_bytes(name, samples, folder):
    data = folder / 'data'
    shutil.copytree(samples.mnist / 'mnist', data)
    train_images(f'train_dataloader.dataset.data_root={data}', words=['--no-validate'])
    path = next(data.glob(name))
    content, packed = path.read_bytes(), path.suffix == '.gz'
    content = bytearray(gzip.decompress(content) if packed else content)
    content[-1] = (content[-1] + 1) % 10
    path.write_bytes(gzip.compress(content) if packed else content)
    train_images(f'train_dataloader.dataset.data_root={data}', words=['--no-validate'])


def _copy(samples: Samples, folder: Path) -> Path:
    shutil.copytree(samples.trained, folder / 'work')
    return folder / 'work' / 'epoch_2.pth'


def _cut(share, path):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def _flip_tensor(number, path):
    content, values = bytearray(path.read_bytes()), list(read_checkpoint(path)['state_dict'].values())[number]
    place = content.index(values.numpy().tobytes())
    content[place + 1] ^= 4
    path.write_bytes(content)


def _changed(change: Callable, path):
    checkpoint = read_checkpoint(path)
    change(checkpoint)
    torch.save(checkpoint, path)


def _test(samples, damage, folder):
    damage(_copy(samples, folder))
    tool('test.py', MNIST, 'work/epoch_2.pth', '--work-dir', 'test')


def _load_from(samples, damage, folder):
    path = _copy(samples, folder)
    shutil.move(folder / 'work', folder / 'other')
    damage(folder / 'other' / path.name)
    train_images('load_from=other/epoch_2.pth', words=['--no-validate'])


def _resume(samples, damage, folder):
    damage(_copy(samples, folder))
    train_images('train_cfg.max_epochs=3', words=['--no-validate', '--resume'])
    assert (folder / 'work' / 'epoch_3.pth').exists()


def _resume_without_note(samples, phase, damage, folder):
    _copy(samples, folder)
    damage(folder / 'work' / phase / 'last_checkpoint')
    one = folder / 'work' / 'phase_one' / 'epoch_2.pth'
    before = one.stat().st_mtime_ns
    train_images('train_cfg.max_epochs=3', words=['--no-validate', '--resume'])
    assert one.stat().st_mtime_ns == before, 'phase one has been trained anew'
    assert read_checkpoint(folder / 'work' / 'epoch_3.pth')['meta']['epoch'] == 3


def _started_from_another_k(samples, key, folder):
    train_images(f'{key}={samples.trained / "epoch_2.pth"}', 'model.backbone.num_iterations=3', words=['--no-validate'])


def _initialized(samples, prefix, options, folder):
    plain = samples.trained / 'phase_one' / 'epoch_2.pth'
    entry = 'model.backbone.init_cfg'
    init = [f'{entry}.type=Pretrained', f'{entry}.checkpoint={plain}', f'{entry}.prefix={prefix}']
    train_images('phase_one=None', *init, *options, words=['--no-validate'])


def _other_network(samples, network, folder):
    path = samples.trained / 'phase_one' / 'epoch_2.pth'
    if network == 'wide':
        state = read_checkpoint(path)['state_dict']
        state['backbone.fc2.weight'] = torch.zeros(11, 10)
    else:
        state = {f'backbone.layers.{i}.weight': torch.zeros(5, 1, 5, 5) for i in range(3)}
    torch.save(dict(state_dict=state), folder / 'other.pth')
    train(MNIST, '--work-dir', 'work', '--no-validate', '--cfg-options', *IMAGE, 'load_from=other.pth')
