"""What a later run relies on is written whole, whenever the process dies."""

import os
import resource
from functools import partial
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import HOOKS

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.training.saving import BACKEND
from tests.openmmlab.toy import toy_runner


class Death(BaseException):
    """As a kill: nothing that the training has prepared for errors may take place."""


def events(monkeypatch, die_at=None) -> list:
    """Notes every file that takes its name, is opened to be written or is removed; dies at one of these."""
    seen = []

    def noting(module, name, describe):
        real = getattr(module, name)

        def call(*args, **kwargs):
            event = describe(*args, **kwargs)
            if event is not None:
                seen.append(event)
                if len(seen) - 1 == die_at:
                    raise Death
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    noting(os, 'replace', lambda source, target: f'replace {Path(target).name}')
    noting(LocalBackend, 'remove', lambda self, path: f'remove {Path(path).name}')
    return seen


def test_the_oldest_goes_when_the_new_one_is_there(monkeypatch, tmp_path):
    seen = events(monkeypatch)
    toy_runner(tmp_path, epochs=3, checkpoint=dict(max_keep_ckpts=1)).train()
    assert [event for event in seen if 'training.json' not in event] == [
        'replace epoch_1.pth',
        'replace last_checkpoint',
        'replace epoch_2.pth',
        'replace last_checkpoint',
        'remove epoch_1.pth',
        'replace epoch_3.pth',
        'replace last_checkpoint',
        'remove epoch_2.pth',
    ]
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['epoch_3.pth']


def test_killed_at_any_step_it_goes_on_to_the_same_end(tmp_path):
    settings = dict(
        epochs=3,
        checkpoint=dict(max_keep_ckpts=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
    )
    with pytest.MonkeyPatch.context() as patch:
        steps = events(patch)
        toy_runner(tmp_path / 'whole', **settings).train()
    expected = read_checkpoint(tmp_path / 'whole' / 'epoch_3.pth')
    for step, name in enumerate(steps):
        work = tmp_path / str(step)
        with pytest.MonkeyPatch.context() as patch:
            events(patch, die_at=step)
            with pytest.raises(Death):
                toy_runner(work, **settings).train()
        for _ in range(2):
            runner = toy_runner(work, resume=True, **settings)
            runner.train()
        assert runner.model.calls == 0, f'killed before {name!r}: what is complete is trained again'
        ended = read_checkpoint(work / 'epoch_3.pth')
        for part in ('state_dict', 'optimizer'):
            assert str(ended[part]) == str(expected[part]), (name, part)
        assert Path((work / 'last_checkpoint').read_text()).exists()


@HOOKS.register_module()
class Stop(Hook):
    def before_train_epoch(self, runner):
        runner.checkpoint_hook = next(h for h in runner.hooks if isinstance(h, CheckpointHook))
        runner.train_loop.stop_training = True


def test_a_checkpoint_says_what_to_remove_in_this_folder_only(tmp_path):
    toy_runner(tmp_path / 'one', epochs=1).train()
    checkpoint = read_checkpoint(tmp_path / 'one' / 'epoch_1.pth')
    victims = [tmp_path / 'victim.pth', tmp_path / 'victims' / 'best_acc.pth']
    for victim in victims:
        victim.parent.mkdir(exist_ok=True)
        victim.write_text('')
    checkpoint['message_hub']['runtime_info'].update(
        keep_ckpt_ids=['../victim'] * 5, best_ckpt=str(victims[1]), best_score=0.0
    )
    torch.save(checkpoint, tmp_path / 'bad.pth')
    runner = toy_runner(
        tmp_path / 'two',
        resume=True,
        load_from=str(tmp_path / 'bad.pth'),
        hooks=[dict(type='Stop')],
        checkpoint=dict(max_keep_ckpts=1, save_best='acc', filename_tmpl='{}.pth'),
    )
    runner.train()
    hook = runner.checkpoint_hook
    assert hook.best_ckpt_path == str(tmp_path / 'two' / 'best_acc.pth')
    runner.message_hub.update_info('best_score', 0.0)
    hook._save_best_checkpoint(runner, dict(acc=1.0))
    assert all(victim.exists() for victim in victims)


def test_the_file_backend_writes_whole_files(monkeypatch, tmp_path):
    seen = events(monkeypatch)
    dump = partial(mmengine.dump, backend_args=dict(backend=BACKEND))
    dump([1], tmp_path / 'new' / 'a.json')
    dump([1], tmp_path / 'a.pkl')
    assert seen == ['replace a.json', 'replace a.pkl'] and mmengine.load(tmp_path / 'a.pkl') == [1]
    (tmp_path / 'link.json').symlink_to(tmp_path / 'new' / 'a.json')
    dump([2], tmp_path / 'link.json')
    assert mmengine.load(tmp_path / 'new' / 'a.json') == [2] and (tmp_path / 'link.json').is_symlink()
    pipe = tmp_path / 'pipe.json'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that writing does not wait for one
    dump([3], pipe)
    assert os.read(reader, 100) == b'[3]' and pipe.is_fifo()
    os.close(reader)


def test_a_full_disk_is_an_error_that_names_the_path_and_keeps_what_is_there(tmp_path):
    runner = toy_runner(tmp_path, epochs=1)
    runner.train()
    before = (tmp_path / 'epoch_1.pth').read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=str(tmp_path / 'epoch_1.pth')):
            runner.save_checkpoint(str(tmp_path), 'epoch_1.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / 'epoch_1.pth').read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith('.')]


def test_a_training_that_begins_anew_removes_nothing_by_the_numbers_of_another(tmp_path):
    runner = toy_runner(tmp_path / 'work', checkpoint=dict(max_keep_ckpts=3))
    runner.message_hub.update_info('keep_ckpt_ids', [1, 2])  # mmengine's runners of one name and second share it
    runner.train()
    assert sorted(path.name for path in (tmp_path / 'work').glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth']
