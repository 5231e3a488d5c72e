"""Damage of a checkpoint file is found and named."""

import random

import pytest
import torch

from kaizen_mm.checkpoint_files import not_finite, read_checkpoint
from tests.checkpoint_samples import flip, state


def same(loaded) -> bool:
    expected = state()
    return str(loaded) == str(expected) and torch.equal(
        loaded['state_dict']['weight'], expected['state_dict']['weight']
    )


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
    values = whole.index(torch.arange(50.0).add(3).numpy().tobytes())
    for position in range(values, values + 200, 3):
        flip(path, position, draw.randrange(8))
        with pytest.raises(
            ValueError, match=f'checkpoint {path} is damaged: a/data/. is not what was written; use an earlier'
        ):
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
    values = dict(
        good=torch.ones(2),
        nan=torch.tensor([1.0, float('nan')]),
        inf=torch.tensor(float('inf')),
        mask=torch.tensor(-float('inf')),
        count=torch.ones(1, dtype=torch.int64),
    )
    assert not_finite(values) == ['nan', 'inf']
