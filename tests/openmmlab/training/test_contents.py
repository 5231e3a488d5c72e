"""Files and folders count with what they hold."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.runner import KaizenRunner
from kaizen_mm.openmmlab.training import contents
from kaizen_mm.openmmlab.training.contents import digest
from kaizen_mm.openmmlab.training.settings import differences, training_settings
from tests.conftest import few_digits


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ('a/1.png', 'a/2.png', 'b/1.png'):
        path = tmp_path / 'data' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / 'data'


def test_times_alone_do_not_count_and_bytes_of_the_same_size_do(folder):
    before, stat = digest(folder), (folder / 'a' / '1.png').stat()
    os.utime(folder / 'a' / '1.png', ns=(0, 0))
    assert digest(folder) == before
    (folder / 'a' / '1.png').write_text('A/1.png')
    assert digest(folder) != before
    (folder / 'a' / '1.png').write_text('a/1.png')
    os.utime(folder / 'a' / '1.png', ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest(folder) == before


def test_what_has_size_and_time_as_before_is_not_read_again(folder, monkeypatch):
    before = digest(folder)
    monkeypatch.setattr(contents, '_digest', lambda *args: 1 / 0)
    assert digest(folder) == before
    os.utime(folder / 'b' / '1.png', ns=(0, 0))
    with pytest.raises(ZeroDivisionError):
        digest(folder)


@pytest.mark.parametrize('change', ['name', 'place', 'more', 'less'])
def test_names_count(folder, change):
    before = digest(folder)
    if change == 'name':
        (folder / 'a' / '1.png').rename(folder / 'a' / '3.png')
    elif change == 'place':
        (folder / 'a' / '2.png').rename(folder / 'b' / '2.png')
    elif change == 'more':
        (folder / 'b' / '2.png').write_text('')
    else:
        (folder / 'b' / '1.png').unlink()
    assert digest(folder) != before


def test_links_count_with_what_they_lead_to_and_loops_end(folder, tmp_path):
    (folder / 'loop').symlink_to(folder)
    before = digest(folder)
    elsewhere = tmp_path / 'elsewhere.png'
    elsewhere.write_text('x')
    (folder / 'a' / '4.png').symlink_to(elsewhere)
    assert digest(folder) != before
    (folder / '.hidden').write_text('')
    (folder / 'nowhere').symlink_to(tmp_path / 'none')
    seen = digest(folder)
    elsewhere.write_text('y')
    assert digest(folder) != seen


def test_of_large_folders_names_sizes_and_the_ends_of_some_files_count(folder, monkeypatch):
    monkeypatch.setattr(contents, 'WHOLE', 10)
    monkeypatch.setattr(contents, '_PIECE', 4)
    path = folder / 'a' / '1.png'
    path.write_text('0' * 30)
    before = digest(folder)
    for text, same in (
        ('0' * 10 + '1' + '0' * 19, True),
        ('0' * 29 + '1', False),
        ('1' + '0' * 29, False),
        ('0', False),
    ):
        path.write_text(text)
        assert (digest(folder) == before) == same, text


@pytest.fixture
def mnist(mnist_data, monkeypatch, tmp_path) -> Config:
    data = tmp_path / 'data'
    monkeypatch.setenv('KAIZEN_DATA', str(data))
    data.mkdir()
    (data / 'mnist').mkdir()
    for path in (mnist_data / 'mnist').iterdir():
        (data / 'mnist' / path.name).write_bytes(path.read_bytes())
    return few_digits(tmp_path / 'work')


def changed(cfg: Config, **options) -> Config:
    other = Config(cfg.to_dict())
    other.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return other


def the_difference(before: dict, cfg: Config) -> str:
    (line,) = differences(before, training_settings(cfg))
    return line.partition(':')[0]


def other_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_files_of_mnist(mnist, tmp_path):
    before = training_settings(mnist)
    other_bytes(next((tmp_path / 'data' / 'mnist').glob('t10k-labels*')))
    assert training_settings(mnist) == before, 'of the tests'
    other_bytes(next((tmp_path / 'data' / 'mnist').glob('train-labels*')))
    assert the_difference(before, mnist) == 'train_dataloader.dataset.what is in the files read of data_root'


def test_test_files_count_where_validation_that_steers_reads_them(mnist, tmp_path):
    cfg = changed(mnist, custom_hooks=[dict(type='EarlyStoppingHook', monitor='accuracy/top1')])
    cfg.val_dataloader = cfg.test_dataloader
    before = training_settings(cfg)
    other_bytes(next((tmp_path / 'data' / 'mnist').glob('t10k-labels*')))
    assert the_difference(before, cfg) == 'val_dataloader.dataset.what is in the files read of data_root'


@pytest.mark.parametrize(
    'kind, unread, read',
    [
        ('MNIST', 't10k-images-idx3-ubyte', 'train-images-idx3-ubyte'),
        ('mmpretrain.FashionMNIST', 't10k-labels-idx1-ubyte.gz', 'train-labels-idx1-ubyte.gz'),
        ('CIFAR10', 'cifar-10-batches-py/test_batch', 'cifar-10-batches-py/data_batch_3'),
        ('CifarInMemory', 'sheet_50.webp', 'sheet_29.webp'),
    ],
)
def test_files_of_tests_in_the_same_folder(tmp_path, kind, unread, read):
    for name in (unread, read):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('0')
    dataset = dict(type=kind, data_root=str(tmp_path), split='train')
    cfg = Config(dict(default_scope='mmpretrain', train_dataloader=dict(dataset=dataset)))
    before = training_settings(cfg)
    other_bytes(tmp_path / unread)
    assert training_settings(cfg) == before
    other_bytes(tmp_path / read)
    assert 'what is in the files read of data_root' in the_difference(before, cfg)


def test_folders_of_images(image_folders, monkeypatch, tmp_path):
    import shutil

    shutil.copytree(image_folders, tmp_path / 'images')
    cfg = Config(
        dict(train_dataloader=dict(dataset=dict(type='X', data_root=str(tmp_path / 'images'), data_prefix='train')))
    )
    before = training_settings(cfg)
    other_bytes(tmp_path / 'images' / 'val' / 'class_0' / '0.png')
    assert training_settings(cfg) == before, 'what is not trained on'
    other_bytes(tmp_path / 'images' / 'train' / 'class_0' / '0.png')
    assert the_difference(before, cfg) == 'train_dataloader.dataset.what is in data_prefix'


def test_videos_of_a_list_count_with_their_sizes(config, digits, tmp_path):
    import shutil

    shutil.copytree(digits, tmp_path / 'digits')
    dataset = config.train_dataloader.dataset
    dataset.ann_file, dataset.data_prefix = (
        str(tmp_path / 'digits' / 'train.txt'),
        dict(video=str(tmp_path / 'digits' / 'videos')),
    )
    before = training_settings(config)
    (tmp_path / 'digits' / 'videos' / 'unlisted.mp4').write_text('')
    assert training_settings(config) == before
    with next((tmp_path / 'digits' / 'videos').glob('train_*')).open('ab') as file:
        file.write(b'0')
    assert the_difference(before, config) == 'train_dataloader.dataset.what is in the files of ann_file'


@pytest.mark.parametrize('key', ['load_from', 'phase_one__load_from', 'model__backbone__init_cfg__checkpoint'])
def test_checkpoints_that_a_training_starts_from(mnist, tmp_path, key):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), path)
    cfg = changed(mnist, **{key: str(path)})
    before = training_settings(cfg)
    torch.save(dict(state_dict=dict(a=torch.ones(1))), path)
    names = key.split('__')
    assert the_difference(before, cfg) == '.'.join([*names[:-1], f'what is in {names[-1]}'])


def test_what_earlier_versions_did_not_record_is_no_difference(mnist, tmp_path):
    now = training_settings(mnist)
    old = {key: value for key, value in now.items() if 'what is in' not in key}
    assert len(old) < len(now) and differences(old, now) == []


@pytest.mark.parametrize('resume', [False, True])
def test_a_stale_phase_one_is_refused(mnist, tmp_path, resume):
    start = tmp_path / 'start.pth'
    plain = changed(
        mnist, model__backbone__num_iterations=1, phase_one=None, custom_hooks=[], work_dir=str(tmp_path / 'plain')
    )
    KaizenRunner.from_cfg(plain).train()
    checkpoint = read_checkpoint(tmp_path / 'plain' / 'epoch_1.pth')
    torch.save(checkpoint, start)
    mnist.phase_one.load_from = str(start)
    KaizenRunner.from_cfg(mnist).train()
    for path in (tmp_path / 'work').iterdir():
        if path.name != 'phase_one' and path.is_file():
            path.unlink()  # phase two was never begun
    checkpoint['state_dict']['backbone.fc1.weight'] *= 2
    torch.save(checkpoint, start)
    mnist.resume = resume
    with pytest.raises(ValueError, match=r'(?s)phase_one holds a training of another config:.*what is in load_from: '):
        KaizenRunner.from_cfg(mnist).train()
