"""tools/predict.py: what it prints, writes and returns."""

import errno
import json
import os
import shutil
import sys

import pytest
from mmengine.logging import MMLogger

from kaizen_mm.commands.predict import main
from kaizen_mm.inference.output import write
from tests.conftest import ROOT
from tests.openmmlab.trained import image_config, save


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config file and a checkpoint of it, for the four classes of the tiny images."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = image_config()
    cfg.dump(folder / 'config.py')
    return folder / 'config.py', save(cfg, folder / 'epoch_1.pth', classes=['red', 'green', 'blue', 'yellow'])


@pytest.fixture
def predict(trained, monkeypatch, capsys):
    """Runs the tool in this process; returns its exit status, what it printed and what it said of errors."""
    config, checkpoint = trained
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'level', logger.level)  # which the tool changes

    def call(*words, checkpoint=checkpoint):
        status = main([str(w) for w in (*words, '--config', config, '--checkpoint', checkpoint)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_folder_and_pattern_to_table_files_and_copies(predict, image_folders, tmp_path):
    status, out, err = predict(
        image_folders / 'val' / 'class_0',
        f'{image_folders}/val/class_1/*.png',
        '--top',
        2,
        '--out',
        tmp_path / 'new' / 'p.json',
        tmp_path / 'p.csv',
        '--annotate',
        tmp_path / 'copies',
    )
    assert status == 0 and 'predicting' in err  # six inputs: a bar
    entries = json.loads((tmp_path / 'new' / 'p.json').read_text())
    assert len(entries) == 6 and all(len(e['iterates']) == 3 for e in entries)
    best = entries[0]['iterates'][-1]['top'][0]
    assert f'{100 * best["probability"]:5.1f} % {best["name"]}' in out and best['name'] in (
        'red',
        'green',
        'blue',
        'yellow',
    )
    assert len((tmp_path / 'p.csv').read_text().splitlines()) == 1 + 6 * 3 * 2
    # names repeat from folder to folder
    names = ['0.png', '0_2.png', '1.png', '1_2.png', '2.png', '2_2.png']
    assert sorted(p.name for p in (tmp_path / 'copies').iterdir()) == names
    assert entries[3]['annotated'] == str(tmp_path / 'copies' / '0_2.png')


def test_one_unreadable_input_is_named_and_the_others_are_done(predict, image_folders, tmp_path):
    (tmp_path / 'broken.png').write_bytes(b'\x89PNG\r\n')
    status, out, err = predict(
        tmp_path / 'broken.png', image_folders / 'val' / 'class_0' / '0.png', '--out', tmp_path / 'p.json'
    )
    assert status == 1 and err.strip() == f'{tmp_path / "broken.png"}: neither an image nor a video that can be read'
    assert '0.png' in out and 'broken' not in out
    assert [set(e) for e in json.loads((tmp_path / 'p.json').read_text())] == [
        {'file', 'kind', 'error'},
        {'file', 'kind', 'seconds', 'iterates'},
    ]


def test_what_a_folder_has_beside_is_counted(predict, image_folders, tmp_path):
    folder = tmp_path / 'photos'
    shutil.copytree(image_folders / 'val' / 'class_0', folder)
    (folder / 'notes.txt').write_text('hello')
    (folder / 'clip.mp4').write_bytes(b'')
    status, out, err = predict(folder)
    assert status == 0 and '0.png' in out
    assert err.splitlines() == [f'passed over: 1 video ({folder / "clip.mp4"}); 1 neither ({folder / "notes.txt"})']


def test_a_name_that_is_no_utf8_loses_nothing(predict, image_folders, tmp_path):
    folder = tmp_path / 'photos'
    shutil.copytree(image_folders / 'val' / 'class_0', folder)
    name = os.fsdecode(b'caf\xe9.png')
    os.rename(folder / '0.png', folder / name)
    outputs = [tmp_path / 'p.json', tmp_path / 'p.csv']
    status, out, _ = predict(folder, '--out', *outputs, '--annotate', tmp_path / 'copies')
    assert status == 0 and '1.png' in out
    files = [entry['file'] for entry in json.loads(outputs[0].read_text())]
    assert len(files) == 3 and str(folder / name) in files
    assert len({line.split(',')[0] for line in outputs[1].read_text().splitlines()[1:]}) == 3
    assert sorted(os.listdir(tmp_path / 'copies')) == sorted([name, '1.png', '2.png'])


def test_an_output_that_fails_in_the_end_costs_that_output_alone(predict, image_folders, tmp_path, monkeypatch):
    def full(predictions, path, top):
        if path.suffix == '.json':
            raise OSError(errno.ENOSPC, 'No space left on device', str(path))
        write(predictions, path, top)

    monkeypatch.setattr('kaizen_mm.inference.output.write', full)
    photo = image_folders / 'val' / 'class_0' / '0.png'
    status, out, err = predict(photo, '--out', tmp_path / 'p.json', tmp_path / 'p.csv')
    assert status == 2 and 'No space left' in err and '0.png' in out
    assert str(photo) in (tmp_path / 'p.csv').read_text()


@pytest.mark.parametrize(
    'words, message',
    [
        (['--out', 'p.txt'], 'must end in .csv or .json, got p.txt'),
        (['--annotate', 'FILE/copies'], 'cannot write to FILE/copies'),
        (['--labels', 'FILE'], 'FILE names 2 classes, but there are 4'),
        (['--cfg-options', 'model.backbone.num_iterations=2'], 'was trained with 3 iterations, but'),
        (['--cfg-options', 'model.head.head.num_classes=7'], 'epoch_1.pth is of another network'),
    ],
)
def test_bad_input_is_an_error_before_anything_is_written(predict, image_folders, tmp_path, words, message):
    file = tmp_path / 'names.txt'
    file.write_text('a\nb\n')
    words = [word.replace('FILE', str(file)) for word in words]
    out = [] if '--out' in words else ['--out', tmp_path / 'p.json']
    status, printed, err = predict(image_folders / 'val', *words, *out)
    assert status == 2 and not printed
    assert err.startswith('error: ') and message.replace('FILE', str(file)) in err and len(err.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ['names.txt']


def test_a_missing_checkpoint(predict, image_folders):
    status, _, err = predict(image_folders / 'val', checkpoint='nowhere.pth')
    assert status == 2 and 'nowhere.pth' in err


@pytest.mark.slow
def test_as_a_command_with_a_name_of_timm(run, tmp_path, image_folders):
    import timm
    import torch

    import kaizen_mm  # noqa: F401  registers the names

    arguments = dict(num_classes=4, img_size=64, pool_padding=1)
    torch.save(timm.create_model('kaizen_mfnet2d_n9', **arguments).state_dict(), tmp_path / 'weights.pth')
    (tmp_path / 'labels.txt').write_text('red\ngreen\nblue\nyellow\n')
    output = run(
        sys.executable,
        ROOT / 'tools' / 'predict.py',
        image_folders / 'val' / 'class_2',
        '--timm',
        'kaizen_mfnet2d_n9',
        '--checkpoint',
        'weights.pth',
        '--labels',
        'labels.txt',
        '--iterates',
        '--top',
        4,
        '--out',
        'p.csv',
        '--model-kwargs',
        *(f'{key}={value}' for key, value in arguments.items()),
    )
    assert 'green' in output and 'iterate' in output and (tmp_path / 'p.csv').exists()
