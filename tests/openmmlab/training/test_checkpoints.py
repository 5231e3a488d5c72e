"""The newest whole checkpoint of a folder is what counts; damaged ones are refused by name on every way in."""

import shutil
from pathlib import Path

import pytest
import torch

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.training.checkpoints import newest_whole_checkpoint
from tests.checkpoint_samples import flip, state
from tests.openmmlab.toy import toy_runner


@pytest.fixture
def folder(tmp_path) -> Path:
    """A work folder with three checkpoints."""
    for epoch in (2, 9, 10):
        torch.save(state(iteration=epoch, time=f'20260102_0304{epoch:02}'), tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    return tmp_path


LAST = {
    'right': lambda folder: None,
    'missing': lambda folder: (folder / 'last_checkpoint').unlink(),
    'empty': lambda folder: (folder / 'last_checkpoint').write_text(''),
    'garbage': lambda folder: (folder / 'last_checkpoint').write_bytes(bytes(range(256)) * 9),
    'of another folder': lambda folder: (folder / 'last_checkpoint').write_text('/elsewhere/epoch_2.pth'),
}


@pytest.mark.parametrize('last', LAST)
def test_the_newest_is_found_whatever_last_checkpoint_says(folder, last):
    LAST[last](folder)
    said = []
    assert newest_whole_checkpoint(folder, announce=said.append) == folder / 'epoch_10.pth'
    assert bool(said) == (last != 'right') and all(str(folder) in line for line in said)


def test_the_newest_is_the_one_saved_last_in_a_copy_too(folder, tmp_path):
    new = state(iteration=1, time='20260103_000000')
    new['meta']['training'] = 'a new one in the folder'
    torch.save(new, folder / 'epoch_1.pth')
    copy = tmp_path / 'copy'
    copy.mkdir()
    for name in ('epoch_1.pth', 'epoch_10.pth', 'last_checkpoint'):  # the times of the files say the contrary
        shutil.copyfile(folder / name, copy / name)
    assert newest_whole_checkpoint(copy) == copy / 'epoch_1.pth'


@pytest.mark.parametrize(
    'damage',
    [
        lambda path: flip(path, path.read_bytes().index(torch.arange(50.0).add(10).numpy().tobytes()) + 9),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b''),
        lambda path: torch.save(
            dict(state(10, '20260102_030410'), state_dict=dict(weight=torch.tensor(float('nan')))), path
        ),
        lambda path: torch.save(dict(state_dict=state()['state_dict']), path),
    ],
)
def test_a_damaged_one_is_passed_over_by_name(folder, damage):
    said = []
    damage(folder / 'epoch_10.pth')
    assert newest_whole_checkpoint(folder, announce=said.append) == folder / 'epoch_9.pth'
    assert said[0].startswith(f'passed over: checkpoint {folder / "epoch_10.pth"} ')


def test_none_whole_is_an_error_and_no_fresh_start(folder):
    for path in folder.glob('*.pth'):
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(
        ValueError, match='(?s)can be resumed from: .*epoch_10.pth.*epoch_2.pth.*epoch_9.pth.*move these away'
    ):
        newest_whole_checkpoint(folder)
    for path in folder.glob('*.pth'):
        path.unlink()
    with pytest.raises(ValueError, match='last_checkpoint is there, but no checkpoint'):
        newest_whole_checkpoint(folder)
    (folder / 'last_checkpoint').unlink()
    assert newest_whole_checkpoint(folder) is None and newest_whole_checkpoint(folder / 'none') is None


def test_the_caller_refuses_what_is_not_of_its_training(folder):
    said = []

    def accept(checkpoint):
        return 'is of an earlier training' if checkpoint['meta']['iter'] > limit else None

    limit = 9
    assert newest_whole_checkpoint(folder, accept, said.append) == folder / 'epoch_9.pth'
    assert said[0] == f'passed over: checkpoint {folder / "epoch_10.pth"} is of an earlier training'
    limit = 0
    assert newest_whole_checkpoint(folder, accept, said.append) is None


@pytest.mark.parametrize('way', ['load_from', 'resume', 'init_cfg'])
def test_a_damaged_file_is_refused_by_name(tmp_path, way):
    toy_runner(tmp_path / 'one', epochs=1).train()
    path = tmp_path / 'one' / 'epoch_1.pth'
    weight = torch.load(path, weights_only=False)['state_dict']['line.weight']
    flip(path, path.read_bytes().index(weight.numpy().tobytes()))
    given = (
        dict(model=dict(init_cfg=dict(type='Pretrained', checkpoint=str(path))))
        if way == 'init_cfg'
        else dict(load_from=str(path), resume=way == 'resume')
    )
    runner = toy_runner(tmp_path / 'two', **given)
    with pytest.raises(ValueError, match=f'checkpoint {path} is damaged: archive/data/.* is not what was written'):
        runner.train()
    assert not list((tmp_path / 'two').glob('*.pth'))


def test_a_damaged_end_is_trained_again_from_the_checkpoint_before(tmp_path):
    phases = dict(work_dir=tmp_path, phase_one=dict(train_cfg=dict(max_epochs=3)))
    toy_runner(**phases).train()
    ends = [tmp_path / 'phase_one' / 'epoch_3.pth', tmp_path / 'epoch_2.pth']
    expected = [read_checkpoint(path)['state_dict'] for path in ends]

    def damage(path):
        flip(path, path.read_bytes().index(read_checkpoint(path)['state_dict']['line.weight'].numpy().tobytes()))

    damage(ends[1])
    runner = toy_runner(resume=True, **phases)
    runner.train()
    assert runner.model.calls == 2, 'one epoch is trained again'
    for path in tmp_path.glob('epoch_*.pth'):
        path.unlink()
    damage(ends[0])
    for name in ('training.json', 'last_checkpoint'):
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f'checkpoint {ends[0]} is damaged'):
        toy_runner(**phases).train()
    toy_runner(resume=True, **phases).train()
    assert [str(read_checkpoint(path)['state_dict']) for path in ends] == [str(weights) for weights in expected]


def test_a_clock_that_goes_back_changes_nothing(folder):
    for number, time in ((2, '20261025_025900'), (9, '20261025_020100'), (10, '20261025_020200')):
        path = folder / f'epoch_{number}.pth'
        checkpoint = read_checkpoint(path)
        checkpoint['meta']['time'] = time
        torch.save(checkpoint, path)
    assert newest_whole_checkpoint(folder) == folder / 'epoch_10.pth'
