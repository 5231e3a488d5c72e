"""Checkpoint files: damage is found and named, and the newest whole one is what counts."""
import random
import shutil
from pathlib import Path

import pytest
import torch

from kaizen_mm.openmmlab.checkpoints import newest_whole_checkpoint, not_finite, read_checkpoint


def state(iteration=3, time='20260102_030405', **changes) -> dict:
    """What mmengine saves, in small."""
    return dict(meta=dict(time=time, iter=iteration, epoch=1),
                state_dict=dict(weight=torch.arange(50.) + iteration, count=torch.ones(3, dtype=torch.int64)),
                message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}), optimizer=dict(state={}), **changes)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A work folder with three checkpoints."""
    for epoch in (2, 9, 10):
        torch.save(state(iteration=epoch, time=f'20260102_0304{epoch:02}'), tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    return tmp_path


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def same(loaded) -> bool:
    expected = state()
    return str(loaded) == str(expected) and torch.equal(loaded['state_dict']['weight'], expected['state_dict']['weight'])


def test_a_flipped_bit_is_an_error_that_names_the_file_or_changes_nothing(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(state(), path)
    whole, draw, refused = path.read_bytes(), random.Random(0), 0
    for position in range(0, len(whole), 9):
        flip(path, position, draw.randrange(8))
        try:
            assert same(read_checkpoint(path)), position
        except ValueError as error:
            assert f'checkpoint {path} ' in str(error)
            refused += 1
        path.write_bytes(whole)
    assert refused > len(whole) / 18
    values = whole.index(torch.arange(50.).add(3).numpy().tobytes())
    for position in range(values, values + 200, 3):
        flip(path, position, draw.randrange(8))
        with pytest.raises(ValueError, match=f'checkpoint {path} is damaged: a/data/. is not what was written; use an earlier'):
            read_checkpoint(path)
        path.write_bytes(whole)


def test_a_cut_file_and_garbage_are_errors_that_name_the_file(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(state(), path)
    whole, draw = path.read_bytes(), random.Random(0)
    starts = (b'', b'PK\3\4', b'\x80\x02', b'\x80\x02l\xfc\x9cF')
    contents = [whole[:cut] for cut in range(0, len(whole), 31)]
    contents += [draw.choice(starts) + draw.randbytes(draw.randrange(300)) for _ in range(300)]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f'checkpoint {path} '):
            read_checkpoint(path)


def test_an_intact_file_and_those_of_the_old_format_are_read(tmp_path):
    torch.save(state(), tmp_path / 'new.pth')
    torch.save(state(), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert same(read_checkpoint(tmp_path / 'new.pth')) and same(read_checkpoint(str(tmp_path / 'old.pth')))
    with pytest.raises(FileNotFoundError, match='no checkpoint file .*none.pth'):
        read_checkpoint(tmp_path / 'none.pth')


def test_names_of_what_is_not_finite():
    values = dict(good=torch.ones(2), nan=torch.tensor([1., float('nan')]), inf=torch.tensor(float('inf')),
                  mask=torch.tensor(-float('inf')), count=torch.ones(1, dtype=torch.int64))
    assert not_finite(values) == ['nan', 'inf']


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
    torch.save(state(iteration=1, time='20260103_000000'), folder / 'epoch_1.pth')  # of a new training in the folder
    copy = tmp_path / 'copy'
    copy.mkdir()
    for name in ('epoch_1.pth', 'epoch_10.pth', 'last_checkpoint'):  # the times of the files say the contrary
        shutil.copyfile(folder / name, copy / name)
    assert newest_whole_checkpoint(copy) == copy / 'epoch_1.pth'


@pytest.mark.parametrize('damage', [
    lambda path: flip(path, path.read_bytes().index(torch.arange(50.).add(10).numpy().tobytes()) + 9),
    lambda path: path.write_bytes(path.read_bytes()[:-100]),
    lambda path: path.write_bytes(b''),
    lambda path: torch.save(dict(state(10, '20260102_030410'), state_dict=dict(weight=torch.tensor(float('nan')))), path),
    lambda path: torch.save(dict(state_dict=state()['state_dict']), path)])
def test_a_damaged_one_is_passed_over_by_name(folder, damage):
    said = []
    damage(folder / 'epoch_10.pth')
    assert newest_whole_checkpoint(folder, announce=said.append) == folder / 'epoch_9.pth'
    assert said[0].startswith(f'passed over: checkpoint {folder / "epoch_10.pth"} ')


def test_none_whole_is_an_error_and_no_fresh_start(folder):
    for path in folder.glob('*.pth'):
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match='(?s)can be resumed from: .*epoch_10.pth.*epoch_2.pth.*epoch_9.pth.*move these away'):
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
