"""What a work folder says of its training: whether it has ended, of which config it is, what may be resumed."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training.record import NAME, finished_checkpoint, new_record, read_record, write_record
from kaizen_mm.openmmlab.training.settings import training_settings


@pytest.fixture
def mnist(mnist_data, monkeypatch, tmp_path):
    """The plain network on a few digits: four iterations an epoch, one epoch, no validation."""
    monkeypatch.setenv('KAIZEN_DATA', str(mnist_data))
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(Path(__file__).resolve().parents[3] / 'configs' / 'mnist.py')
    cfg.merge_from_dict(
        {
            'train_dataloader.batch_size': 16,
            'train_dataloader.dataset.max_images': 64,
            'train_cfg.max_epochs': 1,
            'work_dir': str(tmp_path / 'work'),
        }
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return cfg


def train(cfg: Config, **changes) -> KaizenRunner:
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict(changes)
    runner = KaizenRunner.from_cfg(cfg)
    runner.train()
    return runner


def weights(path) -> torch.Tensor:
    return torch.load(path, weights_only=False)['state_dict']['backbone.fc1.weight']


def test_a_training_has_ended_when_its_record_says_so(mnist):
    folder = Path(mnist.work_dir)
    assert finished_checkpoint(mnist) is None
    train(mnist)
    assert finished_checkpoint(mnist) == str(folder / 'epoch_1.pth')
    record = json.loads((folder / NAME).read_text())
    assert (record['checkpoint'], record['iterations'], record['saved']) == ('epoch_1.pth', 4, True)
    (folder / 'epoch_1.pth').unlink()
    with pytest.raises(ValueError, match=f'{NAME} says that the training ended with epoch_1.pth, which is not there'):
        finished_checkpoint(mnist)


@pytest.mark.parametrize(
    'changes, checkpoint',
    [
        ({'default_hooks.checkpoint.filename_tmpl': 'net-{}.pth'}, 'net-2.pth'),
        ({'default_hooks.checkpoint.interval': 5, 'default_hooks.checkpoint.save_last': False}, 'final.pth'),
        ({'default_hooks.checkpoint.out_dir': '{work}/elsewhere'}, 'elsewhere/work/epoch_2.pth'),
        (
            {
                'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=6),
                'default_hooks.checkpoint.by_epoch': False,
                'default_hooks.checkpoint.interval': 4,
                'param_scheduler': [],
            },
            'iter_6.pth',
        ),
    ],
)
def test_whatever_the_name_the_folder_and_the_loop(mnist, changes, checkpoint):
    changes = {'train_cfg.max_epochs': 2, **changes}
    if 'train_cfg' in changes:
        del changes['train_cfg.max_epochs']
        mnist.default_hooks.pop('epoch_seed')
    mnist.merge_from_dict(
        {
            key: value.format('{}', work=mnist.work_dir) if isinstance(value, str) else value
            for key, value in changes.items()
        }
    )
    runner = train(mnist)
    assert finished_checkpoint(mnist) == str(Path(mnist.work_dir, checkpoint))
    assert weights(finished_checkpoint(mnist)).equal(runner.model.backbone.fc1.weight)
    trained = Path(finished_checkpoint(mnist)).stat().st_mtime_ns
    train(mnist, resume=True)
    assert Path(finished_checkpoint(mnist)).stat().st_mtime_ns == trained, 'what has ended is not trained on'


def test_a_folder_of_another_config_is_refused_with_the_difference(mnist):
    train(mnist)
    before = weights(Path(mnist.work_dir, 'epoch_1.pth'))
    other = Config(mnist.to_dict())
    other.optim_wrapper.optimizer.lr = 0.25
    message = (
        f'{mnist.work_dir} holds a training of another config:\n'
        r'  optim_wrapper.optimizer.lr: 0.008 there, 0.25 here\n'
    )
    with pytest.raises(ValueError, match=message):
        finished_checkpoint(other)
    for resume in (False, True):
        with pytest.raises(ValueError, match=message):
            train(other, resume=resume)
    assert weights(Path(mnist.work_dir, 'epoch_1.pth')).equal(before)
    # from a checkpoint by its name it goes on, and the folder is then of the other config
    train(other, resume=True, load_from=str(Path(mnist.work_dir, 'epoch_1.pth')), **{'train_cfg.max_epochs': 2})
    other.train_cfg.max_epochs = 2
    assert finished_checkpoint(other) == str(Path(mnist.work_dir, 'epoch_2.pth'))


def test_a_refused_training_leaves_the_config_of_the_one_before(mnist):
    train(mnist)
    configs = {path: path.read_text() for path in Path(mnist.work_dir).glob('*.py')}
    assert len(configs) == 1
    for resume in (False, True):
        with pytest.raises(ValueError, match='another config'):
            train(mnist, resume=resume, **{'optim_wrapper.optimizer.lr': 0.25})
    assert {path: path.read_text() for path in Path(mnist.work_dir).glob('*.py')} == configs


def test_a_test_leaves_the_config_of_the_training_in_its_folder(mnist):
    KaizenRunner.from_cfg(mnist).train()
    file = Path(mnist.work_dir, Path(mnist.filename).name)
    before, others = file.read_bytes(), set(file.parent.iterdir())
    mnist.update(load_from=str(next(file.parent.glob('*.pth'))), test_dataloader=dict(batch_size=5))
    runner = KaizenRunner.from_cfg(mnist)
    runner.test()
    assert file.read_bytes() == before and set(file.parent.iterdir()) - others == {Path(runner.log_dir)}
    assert Config.fromfile(Path(runner.log_dir, file.name)).test_dataloader.batch_size == 5
    file.unlink()
    KaizenRunner.from_cfg(mnist).test()
    assert Config.fromfile(file).test_dataloader.batch_size == 5, 'where there is none it says what was tested'


def test_an_exchanged_checkpoint_does_not_count_as_the_end(mnist):
    train(mnist, **{'train_cfg.max_epochs': 2})
    mnist.train_cfg.max_epochs, folder = 2, Path(mnist.work_dir)
    record, last = (folder / NAME).read_text(), (folder / 'epoch_2.pth').read_bytes()
    (folder / NAME).write_text(record.replace('epoch_2.pth', 'epoch_1.pth'))
    with pytest.raises(
        ValueError, match='epoch_1.pth is not the checkpoint that the training in its folder ended with, after 8'
    ):
        finished_checkpoint(mnist)
    (folder / NAME).write_text(record)
    checkpoint = torch.load(folder / 'epoch_2.pth', weights_only=False)
    checkpoint['meta']['training'] = 'another'
    torch.save(checkpoint, folder / 'epoch_2.pth')
    with pytest.raises(ValueError, match='epoch_2.pth is not the checkpoint that the training'):
        finished_checkpoint(mnist)
    (folder / 'epoch_2.pth').write_bytes(last)
    assert finished_checkpoint(mnist) == str(folder / 'epoch_2.pth')


def test_a_training_may_become_longer_only_where_it_is_resumed(mnist):
    train(mnist)
    mnist.train_cfg.max_epochs = 3
    with pytest.raises(ValueError, match='train_cfg.max_epochs: 1 there, 3 here'):
        finished_checkpoint(mnist)
    assert finished_checkpoint(mnist, resumed=True) is None
    assert train(mnist, resume=True).iter == 12
    assert finished_checkpoint(mnist) == str(Path(mnist.work_dir, 'epoch_3.pth'))


class Killed(Exception):
    pass


def test_what_was_in_the_folder_before_does_not_count_for_a_new_training(mnist, monkeypatch):
    train(mnist, **{'train_cfg.max_epochs': 2})
    old = weights(Path(mnist.work_dir, 'epoch_2.pth'))

    def killed(self, *args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr('mmengine.runner.EpochBasedTrainLoop.run_iter', killed)
        train(mnist, **{'train_cfg.max_epochs': 2})
    mnist.train_cfg.max_epochs = 2
    assert finished_checkpoint(mnist) is None
    stamp = Path(mnist.work_dir, 'epoch_1.pth').stat().st_mtime_ns
    train(mnist, resume=True)
    assert Path(mnist.work_dir, 'epoch_1.pth').stat().st_mtime_ns != stamp, 'it is trained from the beginning'
    assert finished_checkpoint(mnist) == str(Path(mnist.work_dir, 'epoch_2.pth'))
    assert weights(finished_checkpoint(mnist)).equal(old), 'the same seed, the same weights'


def test_a_copy_goes_on_by_itself(mnist, tmp_path):
    train(mnist)
    shutil.copytree(mnist.work_dir, tmp_path / 'copy')
    before = sorted(path.name for path in Path(mnist.work_dir).rglob('*'))
    Path(mnist.work_dir, 'epoch_1.pth').write_bytes(b'not to be read')
    mnist.merge_from_dict({'work_dir': str(tmp_path / 'copy'), 'train_cfg.max_epochs': 2})
    train(mnist, resume=True)
    assert finished_checkpoint(mnist) == str(tmp_path / 'copy' / 'epoch_2.pth')
    assert sorted(path.name for path in (tmp_path / 'work').rglob('*')) == before


def test_a_folder_without_a_record_says_how_to_go_on(mnist):
    train(mnist)
    path = Path(mnist.work_dir, 'epoch_1.pth')
    checkpoint = torch.load(path, weights_only=False)
    del checkpoint['meta']['training']
    torch.save(checkpoint, path)
    Path(mnist.work_dir, NAME).unlink()
    for ask in (lambda: finished_checkpoint(mnist), lambda: train(mnist, resume=True)):
        with pytest.raises(
            ValueError, match=f'holds epoch_1.pth but no {NAME}.* --resume CHECKPOINT.* load_from=CHECKPOINT'
        ):
            ask()
    train(mnist, resume=True, load_from=str(path))
    assert finished_checkpoint(mnist) == str(path)


def test_from_a_checkpoint_without_a_name_it_goes_on_even_where_it_is_killed_at_once(mnist, monkeypatch):
    test_a_folder_without_a_record_says_how_to_go_on(mnist)
    mnist.train_cfg.max_epochs = 2
    assert train(mnist, resume=True).iter == 8
    assert finished_checkpoint(mnist).endswith('epoch_2.pth')


def test_a_record_that_points_to_another_file_of_the_same_name_in_meta_is_told(mnist, tmp_path):
    train(mnist)
    folder = Path(mnist.work_dir)
    record, path = (folder / NAME).read_text(), folder / 'epoch_1.pth'
    shutil.copy(path, tmp_path / 'copy.pth')
    (folder / NAME).write_text(record.replace('"epoch_1.pth"', f'"{tmp_path / "copy.pth"}"'))
    assert finished_checkpoint(mnist) == str(tmp_path / 'copy.pth'), 'the same bytes'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['state_dict']['backbone.fc1.weight'] *= 2
    torch.save(checkpoint, tmp_path / 'copy.pth')
    with pytest.raises(ValueError, match='copy.pth is not the checkpoint that the training in its folder ended with'):
        finished_checkpoint(mnist)
    (folder / NAME).write_text(record)
    torch.save(checkpoint, path)
    with pytest.raises(
        ValueError, match='epoch_1.pth is not the checkpoint that the training in its folder ended with'
    ):
        finished_checkpoint(mnist)


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: text[:-20],
        lambda text: text.replace('0.008', '0.5'),
        lambda text: '[]',
        lambda text: '',
        lambda text: text.replace('"iterations": null', '"iterations": "4"'),
        lambda text: '\x00' * 40,
    ],
)
def test_a_damaged_record_is_named(mnist, damage):
    folder = Path(mnist.work_dir)
    write_record(folder, new_record(training_settings(mnist)))
    assert read_record(folder).settings == training_settings(mnist)
    text = (folder / NAME).read_text()
    (folder / NAME).write_text(damage(text))
    with pytest.raises(ValueError, match=f'{NAME} is damaged or was edited'):
        read_record(folder)
