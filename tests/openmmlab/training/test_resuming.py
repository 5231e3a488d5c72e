"""``--resume CHECKPOINT``: what the checkpoint is of, and how its training differs."""

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.runner import KaizenRunner
from tests.openmmlab.toy import toy_runner

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


@pytest.fixture(scope='module')
def trained(mnist_data, tmp_path_factory):
    """Config and work folder of both phases on a few digits, two epochs of two iterations each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('KAIZEN_DATA', str(mnist_data))
        init_default_scope('mmpretrain')
        cfg = Config.fromfile(CONFIGS / 'kaizen_mnist_k3.py')
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.merge_from_dict(
            {
                'train_dataloader.batch_size': 32,
                'train_dataloader.dataset.max_images': 64,
                'train_cfg.max_epochs': 2,
                'phase_one.train_cfg.max_epochs': 2,
                'work_dir': str(tmp_path_factory.mktemp('trained') / 'work'),
            }
        )
        KaizenRunner.from_cfg(cfg).train()
        yield cfg


def resumed(cfg: Config, checkpoint, folder, **changes) -> str:
    """Goes on with a training in a new folder; returns its log."""
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict({'train_cfg.max_epochs': 3, **changes})
    cfg.work_dir, cfg.resume, cfg.load_from = str(folder), True, str(checkpoint)
    KaizenRunner.from_cfg(cfg).train()
    return next(folder.glob('*/*.log')).read_text()


def test_the_same_training_says_nothing(trained, tmp_path):
    log = resumed(trained, Path(trained.work_dir, 'epoch_2.pth'), tmp_path / 'work')
    assert 'differs' not in log and 'WARNING' not in log and (tmp_path / 'work' / 'epoch_3.pth').exists()


@pytest.mark.parametrize(
    'changes, line',
    [
        ({'model.backbone.alpha': 0.01}, r'model.backbone.alpha: not set there, 0.01 here'),
        ({'train_dataloader.batch_size': 16}, r'train_dataloader.batch_size: 32 there, 16 here'),
        ({'train_dataloader.dataset.max_images': 32}, r'train_dataloader.dataset.max_images: 64 there, 32 here'),
    ],
)
@pytest.mark.parametrize('known_from', ['the checkpoint', 'the record beside it'])
def test_differences_are_logged(trained, tmp_path, changes, line, known_from):
    path = Path(trained.work_dir, 'epoch_2.pth')
    if known_from == 'the record beside it':
        checkpoint = read_checkpoint(path)
        del checkpoint['meta']['training_settings']
        path = path.with_name('earlier.pth')
        torch.save(checkpoint, path)
    log = resumed(trained, path, tmp_path / 'work', **changes)
    path.with_name('earlier.pth').unlink(missing_ok=True)
    assert f'the training of {path} differs from this one in:\n{line}' in log


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            {'model.backbone.num_iterations': 2},
            'epoch_2.pth was trained with 3 iterations, but the network has num_iter',
        ),
        (
            {'model.backbone.num_iterations': 1},
            'epoch_2.pth was trained with 3 iterations, but the network has num_iter',
        ),
        ({'model.backbone': dict(_delete_=True, type='LeNet5', num_classes=10)}, 'epoch_2.pth is of another network'),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(trained, tmp_path, changes, message):
    with pytest.raises(ValueError, match=f'--resume: .*{message}'):
        resumed(trained, Path(trained.work_dir, 'epoch_2.pth'), tmp_path / 'work', **changes)
    assert not list((tmp_path / 'work').rglob('*.pth')) and not (tmp_path / 'work' / 'training.json').exists()


@pytest.mark.parametrize('control', [False, True])
def test_a_checkpoint_of_phase_one_is_told_from_one_of_phase_two(trained, tmp_path, control):
    path = Path(trained.work_dir, 'phase_one', 'epoch_1.pth')
    changes = {'model.backbone.num_iterations': 1} if control else {}
    with pytest.raises(ValueError, match=f'--resume: {path} is a checkpoint of phase one.*load_from={path}'):
        resumed(trained, path, tmp_path / 'work', **changes)


def test_a_checkpoint_of_another_phase_one_is_told_what_it_may_be(trained, tmp_path):
    path = Path(trained.work_dir, 'phase_one', 'epoch_1.pth')
    message = f'was trained with 1 iteration.* Where it is of phase one: .*load_from={path} without --resume'
    with pytest.raises(ValueError, match=message):
        resumed(trained, path, tmp_path / 'work', **{'phase_one.optim_wrapper.optimizer.lr': 0.25})


def test_a_checkpoint_that_is_not_there_is_named(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        resumed(trained, tmp_path / 'nowhere.pth', tmp_path / 'work')


class Killed(BaseException):
    pass


def test_from_an_earlier_one_by_name_the_later_ones_count_no_more(tmp_path, monkeypatch):
    toy_runner(tmp_path, epochs=3).train()

    def killed(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr('mmengine.runner.EpochBasedTrainLoop.run_iter', killed)
        toy_runner(tmp_path, epochs=3, resume=True, load_from=str(tmp_path / 'epoch_1.pth')).train()
    runner = toy_runner(tmp_path, epochs=3, resume=True)
    runner.train()
    assert runner.model.calls == 4, 'two epochs of two iterations follow epoch 1, not none after epoch 3'


@pytest.mark.parametrize('missing', ['optimizer', 'param_schedulers', 'message_hub', 'meta', 'everything', 'meta.iter'])
def test_weights_alone_are_no_state_to_go_on_from(trained, tmp_path, missing):
    checkpoint, path = read_checkpoint(Path(trained.work_dir, 'epoch_2.pth')), tmp_path / 'less.pth'
    if missing == 'everything':
        checkpoint = checkpoint['state_dict']
    elif missing == 'meta.iter':
        del checkpoint['meta']['iter']
    else:
        del checkpoint[missing]
    torch.save(checkpoint, path)
    named = 'state_dict, meta, message_hub, optimizer' if missing == 'everything' else missing
    with pytest.raises(ValueError, match=f'--resume: .*less.pth .*it has no {named}.*load_from=.*less.pth without'):
        resumed(trained, path, tmp_path / 'work')
    assert not list((tmp_path / 'work').rglob('*.pth')) and not (tmp_path / 'work' / 'training.json').exists()


def test_a_training_without_schedules_goes_on_without_them(trained, tmp_path):
    cfg = Config(trained.to_dict())
    cfg.param_scheduler = cfg.phase_one = None
    cfg.load_from, cfg.work_dir = str(Path(trained.work_dir, 'phase_one', 'epoch_2.pth')), str(tmp_path / 'plain')
    KaizenRunner.from_cfg(cfg).train()
    path = tmp_path / 'plain' / 'epoch_2.pth'
    assert 'param_schedulers' not in read_checkpoint(path)
    cfg.load_from = None
    resumed(cfg, path, tmp_path / 'work')
    assert (tmp_path / 'work' / 'epoch_3.pth').exists()


def test_a_folder_of_weights_alone_is_not_resumed(trained, tmp_path):
    work = tmp_path / 'work'
    shutil.copytree(trained.work_dir, work)
    for path in work.glob('*.pth'):
        checkpoint = read_checkpoint(path)
        del checkpoint['param_schedulers']
        torch.save(checkpoint, path)
    cfg = Config(trained.to_dict())
    cfg.work_dir, cfg.resume, cfg.train_cfg.max_epochs = str(work), True, 3
    with pytest.raises(ValueError, match=r'epoch_2.pth is no whole state of a training: it has no param_schedulers'):
        KaizenRunner.from_cfg(cfg).train()
