"""tools/predict.py --stream: what it prints, writes and returns, to the end of the stream or to its own."""

import json
import multiprocessing
import os
import re
import shlex
import signal
import sys
import threading
import time

import av
import numpy as np
import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from PIL import Image

import kaizen_mm  # noqa: F401  registers timm's names
from kaizen_mm.commands import demo
from kaizen_mm.commands.predict import main
from kaizen_mm.data.moving_digits import MovingDigits, write_video
from kaizen_mm.data.video_readers import open_video
from tests.conftest import ROOT
from tests.data.awkward_clips import changing_size
from tests.data.clips import cut, make_video
from tests.faults.case import _forget_fork_server
from tests.openmmlab.trained import save, video_config

FRAMES = 80
CLASSES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A config, a checkpoint of it, and a video of two scenes, each frame coded alone."""
    folder = tmp_path_factory.mktemp('stream')
    cfg = video_config()
    steps = cfg.test_dataloader.dataset.pipeline
    steps.insert(-2, dict(type='Resize', scale=(32, 32), keep_ratio=False))
    cfg.dump(folder / 'config.py')
    save(cfg, folder / 'a.pth', classes=CLASSES)
    data = MovingDigits(num_train=1, num_val=2, num_frames=FRAMES // 2, size=32, camera=1.0)
    write_video(folder / 'clip.mp4', np.concatenate([data.render('val', index)[0] for index in (0, 1)]), 25)
    return folder


@pytest.fixture
def network(folder):
    return ['--config', folder / 'config.py', '--checkpoint', folder / 'a.pth', '--device', 'cpu']


@pytest.fixture
def predict(network, monkeypatch, capsys):
    """Runs the tool in this process; returns its exit status, what it printed and what it said of errors."""
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'level', logger.level)  # which the tool changes

    def call(*words, network=network):
        status = main([str(word) for word in ('--stream', *words, *network)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def remuxed(clip, target):
    """The same packets in a container that can be read from a pipe."""
    with av.open(str(clip)) as source, av.open(str(target), 'w') as made:
        stream = made.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    return target


def fed(path, content, hold=None):
    """A pipe into which bytes come, and that stays open until ``hold`` is set."""
    os.mkfifo(path)

    def feed():
        with open(path, 'wb', buffering=0) as pipe:
            pipe.write(content)
            if hold is not None:
                hold.wait(300)

    threading.Thread(target=feed, daemon=True).start()
    return path


# --- a stream and all that can be had of it -----------------------------------------


def test_all_that_can_be_had(predict, folder, tmp_path):
    status, out, err = predict(
        folder / 'clip.mp4',
        *('--window', 16, '--stride', 8, '--top', 2, '--smooth', 'mean', '--out', tmp_path / 'new' / 'a.jsonl'),
        *('--timeline', tmp_path / 'a.png', '--annotate', tmp_path / 'a.mp4'),
    )
    assert status == 0 and not err
    windows = lines_of(tmp_path / 'new' / 'a.jsonl')
    assert [window['start'] for window in windows] == list(range(0, 65, 8))
    assert [window['cut'] for window in windows] == [None] * 4 + [40] + [None] * 4
    # the first; that with the cut; and the first that has nothing of the scene before
    assert [window['wrote'] for window in windows] == [window['start'] in (0, 32, 40) for window in windows]
    assert [window['passes'] for window in windows] == [3 if window['wrote'] else 1 for window in windows]
    printed = out.splitlines()
    assert len(printed) == len(windows) + 1
    for line, window in zip(printed, windows):
        said = ', '.join(f'{100 * one["probability"]:.1f} % {one["name"]}' for one in window['top'])
        assert line.startswith(f'window {window["window"]}, frames {window["start"]}-{window["end"] - 1}, ')
        assert said in line and ('weights written' in line) == window['wrote'] and len(window['top']) == 2
    assert printed[-1] == '80 frames, 9 windows, 1.67 passes a window, weights written 3 times'
    with av.open(str(tmp_path / 'a.mp4')) as file:
        assert sum(1 for _ in file.decode(video=0)) == FRAMES
    assert Image.open(tmp_path / 'a.png').size > (1000, 400)
    assert not list(tmp_path.rglob('.*'))


def test_a_file_a_folder_and_a_pipe_agree(predict, folder, tmp_path):
    (tmp_path / 'frames').mkdir()
    for number, frame in enumerate(open_video(folder / 'clip.mp4').get_batch(range(FRAMES)).asnumpy()):
        Image.fromarray(frame).save(tmp_path / 'frames' / f'{number}.png')
    pipe = fed(tmp_path / 'pipe', remuxed(folder / 'clip.mp4', tmp_path / 'a.mkv').read_bytes())
    results = []
    for number, source in enumerate((folder / 'clip.mp4', tmp_path / 'frames', pipe)):
        assert predict(source, '--out', tmp_path / f'{number}.jsonl')[0] == 0
        results.append(lines_of(tmp_path / f'{number}.jsonl'))
        for window in results[-1]:
            window['time'], window['duration'] = pytest.approx(window['time']), pytest.approx(window['duration'])
    assert results[0] == results[1] == results[2] and len(results[0]) > 2


@pytest.mark.parametrize(
    'write, wrote',
    [('never', [True, False, False, False, False]), ('2', [True, False, True, False, True]), ('1', [True] * 5)],
)
def test_when_weights_are_written(predict, folder, tmp_path, write, wrote):
    assert predict(folder / 'clip.mp4', '--window', 16, '--write', write, '--out', tmp_path / 'a.jsonl')[0] == 0
    assert [window['wrote'] for window in lines_of(tmp_path / 'a.jsonl')] == wrote


def test_a_plain_network_and_one_of_timm(predict, folder, tmp_path):
    model = dict(num_classes=5, input_size='(16,32,32)')
    network = timm.create_model('mfnet3d_n9', num_classes=5, input_size=(16, 32, 32))
    torch.save(network.state_dict(), tmp_path / 'plain.pth')
    words = ['--timm', 'mfnet3d_n9', '--checkpoint', tmp_path / 'plain.pth', '--device', 'cpu']
    words += ['--model-kwargs', *(f'{key}={value}' for key, value in model.items())]
    status, out, _ = predict(folder / 'clip.mp4', '--write', 1, network=words)
    assert status == 0 and 'window 0, frames 0-30, ' in out
    assert out.splitlines()[-1] == '80 frames, 3 windows, 1.00 passes a window, no weights written'


# --- what is wrong with a stream ----------------------------------------------------


def _ends_early(folder, tmp_path):
    return cut(make_video(tmp_path / 'w.mkv', frames=60, coding=dict(g='5')), tmp_path / 'a.mkv', 0.7)


def _loses_frames(folder, tmp_path):
    with av.open(str(folder / 'clip.mp4')) as source, av.open(str(tmp_path / 'a.mkv'), 'w') as made:
        stream = made.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
        for packet in packets[:30] + packets[40:]:
            packet.stream = stream
            made.mux(packet)
    return tmp_path / 'a.mkv'


def _stalls(folder, tmp_path):
    content = remuxed(folder / 'clip.mp4', tmp_path / 'a.mkv').read_bytes()
    return fed(tmp_path / 'pipe', content, threading.Event())


@pytest.mark.parametrize(
    'make, said, least',
    [
        (_ends_early, 'truncated', 20),
        (_loses_frames, 'frame 30 (1.60 s): about 10 frames are lost before it', 70),
        (lambda folder, tmp_path: changing_size(tmp_path / 'a.mkv', frames=20), 'the size changes from 64 x 64', 40),
        (_stalls, 'the stream counts as ended', 60),
    ],
)
def test_it_is_said_the_rest_is_done_and_the_status_tells(predict, folder, tmp_path, make, said, least):
    source = make(folder, tmp_path)
    outputs = ('--out', tmp_path / 'a.jsonl', '--annotate', tmp_path / 'a.mp4', '--timeline', tmp_path / 'a.png')
    status, out, err = predict(source, '--window', 16, '--patience', 2, *outputs)
    entries = lines_of(tmp_path / 'a.jsonl')
    windows, events = ([entry for entry in entries if key in entry] for key in ('window', 'event'))
    assert (
        status == 1
        and said in err
        and any(said in f'frame {e["frame"]} ({e["time"]:.2f} s): {e["event"]}' for e in events)
    )
    assert all(line.startswith(f'{source}: frame ') for line in err.splitlines()) and len(err.splitlines()) == len(
        events
    )
    assert windows[-1]['end'] >= least and len(out.splitlines()) == len(windows) + 1
    with av.open(str(tmp_path / 'a.mp4')) as file:
        assert sum(1 for _ in file.decode(video=0)) >= least
    assert (tmp_path / 'a.png').stat().st_size > 1000


def test_an_output_that_fails_costs_that_output_alone(predict, folder, tmp_path):
    (tmp_path / 'a.jsonl').symlink_to('/dev/full')
    status, out, err = predict(
        folder / 'clip.mp4', '--window', 16, '--out', tmp_path / 'a.jsonl', '--annotate', tmp_path / 'a.mp4'
    )
    assert status == 2 and err.count('No space left on device') == 1 and len(err.splitlines()) == 1
    assert len(out.splitlines()) == 6
    with av.open(str(tmp_path / 'a.mp4')) as file:
        assert sum(1 for _ in file.decode(video=0)) == FRAMES


# --- an end by force ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    'number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_nothing_is_lost_where_it_is_ended(folder, network, tmp_path, number, status):
    """While the stream goes on: it has given all its frames but has not ended."""
    hold = threading.Event()
    pipe = fed(tmp_path / 'pipe', remuxed(folder / 'clip.mp4', tmp_path / 'a.mkv').read_bytes(), hold)
    lines, copy, picture = (tmp_path / f'a.{suffix}' for suffix in ('jsonl', 'mp4', 'png'))
    words = ['--stream', pipe, *network, '--window', 8, '--out', lines, '--annotate', copy, '--timeline', picture]
    child = multiprocessing.get_context('fork').Process(target=_main, args=([str(word) for word in words], tmp_path))
    child.start()
    deadline = time.monotonic() + 300
    while not (lines.exists() and lines.read_text().count('\n') >= 6) and time.monotonic() < deadline:
        assert child.is_alive(), (tmp_path / 'printed').read_text()
        time.sleep(0.05)
    os.kill(child.pid, number)
    child.join(300)
    hold.set()
    assert child.exitcode == status, (tmp_path / 'printed').read_text()
    windows = lines_of(lines)
    assert [window['window'] for window in windows] == list(range(len(windows))) and len(windows) >= 6
    printed = (tmp_path / 'printed').read_text()
    assert 'Traceback' not in printed
    if number != signal.SIGKILL:
        assert f'{windows[-1]["end"]} frames, {len(windows)} windows' in printed
        assert Image.open(picture).size > (1000, 400)
        with av.open(str(copy)) as file:
            assert sum(1 for _ in file.decode(video=0)) >= windows[-1]['end']


def _main(words, folder):
    _forget_fork_server()
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = open(folder / 'printed', 'w', buffering=1)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(words))


# --- what the demo proposes ----------------------------------------------------------


def test_the_command_that_the_demo_proposes_runs_on_the_stream_that_it_leaves(tmp_path, capsys, monkeypatch):
    """Here with the network that the package brings. The cuts are found to the frame."""
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'level', logger.level)
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_bagnet3d_moving_camera_k2.py')
    digits = {key: value for key, value in cfg.digits.items() if key != 'type'}
    stream = demo.write_stream(digits, tmp_path / 'stream.mp4')
    config, checkpoint = 'kaizen_mm::kaizen_bagnet3d_moving_camera_k2.py', 'kaizen_mm::kaizen_bagnet3d_moving_camera'
    files, words = demo.proposals('kaizen-demo', str(stream), stream, config, checkpoint)
    assert shlex.split(words)[0] == 'kaizen-predict'
    assert main([*shlex.split(words)[1:], '--out', str(tmp_path / 'a.jsonl')]) == 0
    assert (tmp_path / 'stream.png').exists()
    windows = lines_of(tmp_path / 'a.jsonl')
    assert [window['cut'] for window in windows if window['cut'] is not None] == [96, 192, 288]
    assert [window['start'] for window in windows if window['wrote']] == [0, 96, 192, 288]
    assert windows[-1]['end'] == demo.SCENES * demo.LENGTH
    assert main(shlex.split(files)[1:]) == 0 and demo.proposals('demo.py', 'a', stream, 'b', 'c')[1].startswith(
        'python tools/predict.py --stream '
    )
    capsys.readouterr()


# --- bad input ----------------------------------------------------------------------


@pytest.mark.parametrize(
    'words, message',
    [
        (['clip.mp4', '--timeline', 'a.png'], '--timeline needs --stream'),
        (['clip.mp4', '--window', '8'], '--window needs --stream'),
        (['clip.mp4', '--write', 'never'], '--write needs --stream'),
        (['clip.mp4', '--smooth', 'none'], '--smooth needs --stream'),
        (['clip.mp4', '--rewrite', '1'], '--rewrite needs --stream'),
        (['--stream', 'clip.mp4', '--rewrite', '0'], '--rewrite: must be'),
        (['clip.mp4', '--patience', '1'], '--patience needs --stream'),
        ([], 'the following arguments are required: INPUT or --stream'),
        (['b.mp4', '--stream', 'clip.mp4'], 'either INPUT or --stream, got b.mp4 and --stream clip.mp4'),
        (['--stream', 'clip.mp4', '--iterates'], '--iterates is not for --stream'),
        (['--stream', 'clip.mp4', '--no-check'], '--no-check is not for --stream'),
        (
            ['--stream', 'clip.mp4', '--out', 'a.jsonl', 'b.jsonl'],
            '--out takes one .jsonl file with --stream, got a.jsonl',
        ),
        (['--stream', 'clip.mp4', '--write', '0'], 'argument --write: must be an int >= 1, got 0'),
        (
            ['--stream', 'clip.mp4', '--write', 'always'],
            '--write: must be never, cut or a number of windows, .* got always',
        ),
        (['--stream', 'clip.mp4', '--write', '1.5'], '--write: must be never, cut or a number of windows, .* got 1.5'),
        (['--stream', 'clip.mp4', '--window', '0'], '--window: must be an int >= 1, got 0'),
        (['--stream', 'clip.mp4', '--stride', '-1'], '--stride: must be an int >= 1, got -1'),
        (['--stream', 'clip.mp4', '--smooth', 'median'], "--smooth: invalid choice: 'median'"),
        (['--stream', 'clip.mp4', '--patience', '0'], '--patience: must be more than 0, got 0'),
    ],
)
def test_words_that_cannot_be_meant(words, message, capsys):
    with pytest.raises(SystemExit, match='2'):
        main([*words, '--config', 'config.py', '--checkpoint', 'a.pth'])
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    'words, message',
    [
        (['nowhere.mp4'], 'no file or folder nowhere.mp4'),
        (['text.mp4'], 'text.mp4: cannot be opened'),
        (['98765'], 'no camera 98765'),
        (['empty'], 'empty: no pictures in this folder'),
        (['clip.mp4', '--out', 'a.json'], 'an output file must end in .jsonl, got a.json'),
        (['clip.mp4', '--timeline', 'a.jpg'], 'an output file must end in .png, got a.jpg'),
        (['clip.mp4', '--annotate', 'copies'], 'an output file must end in .mp4, got copies'),
        (['clip.mp4', '--annotate', 'clip.mp4'], 'clip.mp4 is there already'),
        (['clip.mp4', '--out', 'text.mp4/a.jsonl'], 'cannot write to text.mp4'),
    ],
)
def test_bad_input_is_an_error_before_the_network_is_built(folder, tmp_path, monkeypatch, capsys, words, message):
    (tmp_path / 'clip.mp4').write_bytes((folder / 'clip.mp4').read_bytes())
    (tmp_path / 'text.mp4').write_text('no video')
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('kaizen_mm.commands.predict.predictor', lambda args: pytest.fail('it is built'))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert main(['--stream', *words, '--config', str(folder / 'config.py'), '--checkpoint', 'a.pth']) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith('error: ') and message in captured.err and len(captured.err.splitlines()) == 1
    assert not captured.out and sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize('option, name', [('--timeline', 'a.png'), ('--annotate', 'a.mp4')])
def test_what_draws_is_missing(folder, tmp_path, monkeypatch, capsys, option, name):
    """As with the part for timm alone: it is said before the network is built."""
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    monkeypatch.setattr('kaizen_mm.commands.predict.predictor', lambda args: pytest.fail('it is built'))
    words = ['--stream', folder / 'clip.mp4', '--timm', 'mfnet3d_n9', '--checkpoint', 'a.pth', option, tmp_path / name]
    with pytest.raises(SystemExit, match='2'):
        main([str(word) for word in words])
    assert 'error: matplotlib is not installed: pip install' in capsys.readouterr().err


def test_errors_that_the_network_or_the_stream_tells(predict, folder, tmp_path):
    outputs = ['--out', tmp_path / 'a.jsonl', '--timeline', tmp_path / 'a.png', '--annotate', tmp_path / 'a.mp4']
    status, out, err = predict(folder / 'clip.mp4', '--window', 81, *outputs)
    assert status == 2 and err == f'error: {folder}/clip.mp4: there is no window of 81 frames, the stream has 80\n'
    assert not out and not list(tmp_path.iterdir())
    status, _, err = predict('http://127.0.0.1:1/a.mp4', *outputs)
    assert status == 2 and err.startswith('error: http://127.0.0.1:1/a.mp4: cannot be opened: ')
    (folder / 'names.txt').write_text('a\nb\n')
    status, _, err = predict(folder / 'clip.mp4', '--labels', folder / 'names.txt', *outputs)
    assert status == 2 and 'names.txt names 2 classes, but there are 8' in err and not list(tmp_path.iterdir())


def test_what_was_there_stays(predict, folder, tmp_path):
    for name in ('a.jsonl', 'a.png', 'a.mp4'):
        (tmp_path / name).write_text('of yesterday')
    for option, name in (('--out', 'a.jsonl'), ('--timeline', 'a.png'), ('--annotate', 'a.mp4')):
        status, _, err = predict(folder / 'clip.mp4', option, tmp_path / name)
        assert status == 2 and f'{tmp_path / name} is there already' in err
        assert (tmp_path / name).read_text() == 'of yesterday'
