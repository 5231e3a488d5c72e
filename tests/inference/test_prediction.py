"""Predictions of files: one bad file costs one file; tables, files and annotated copies show what is predicted."""

import csv
import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kaizen_mm.data.moving_digits import write_video
from kaizen_mm.inference import Prediction, Predictor, class_names
from kaizen_mm.inference.output import check_outputs, fitting_table, table, write
from kaizen_mm.inference.overlay import annotated_copy, panel

NAMES = ['cat', 'dog, hound', '[bird]', 'fish']
# [K, clips, classes]
SCORES = np.array([[[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.4, 0.1]], [[0.7, 0.1, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1]]])


class Fixed(Predictor):
    """Always gives the same scores."""

    def __init__(self, kind='video', scores=SCORES, names=NAMES):
        self.kind, self.scores, self.names, self.num_iterations = kind, scores, names, len(scores)

    def _probabilities(self, path):
        return self.scores


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'clip.mp4'
    frames = np.zeros((6, 40, 64, 3), np.uint8)
    frames[:, :, :, 0] = 200
    write_video(path, frames, 10)
    return path


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'photo.png'
    Image.new('RGB', (20, 12), (10, 200, 30)).save(path)
    return path


def test_top_classes_of_videos_and_of_their_clips(video):
    (prediction,) = Fixed()(video)
    assert prediction.error is None and prediction.seconds > 0
    first, last = prediction.top(2)
    assert [(r.label, r.name) for r in first] == [(2, '[bird]'), (3, 'fish')]
    assert [r.probability for r in first] == pytest.approx([0.35, 0.25])
    assert [(r.name, round(r.probability, 9)) for r in last] == [('cat', 0.4), ('dog, hound', 0.35)]
    clips = prediction.top_of_clips(1)
    assert [[clip[0].name for clip in iterate] for iterate in clips] == [['fish', '[bird]'], ['cat', 'dog, hound']]
    assert prediction.agreeing_clips() == [1, 1]


def test_one_bad_file_costs_one_file(video, image, tmp_path):
    cut = tmp_path / 'cut.mp4'
    cut.write_bytes(video.read_bytes()[:-100])
    notes = tmp_path / 'notes.txt'
    notes.write_text('hello')
    predictions = Fixed()([cut, notes, tmp_path / 'nothing.mp4', image, video])
    errors = [p.error for p in predictions]
    assert errors[0].startswith('truncated: ') and errors[1].startswith('neither an image nor a video')
    assert errors[2] == 'no such file' and errors[3] == 'this is an image, but the network takes videos'
    assert errors[4] is None and predictions[4].probabilities.shape == (2, 4)


@pytest.mark.parametrize(
    'scores, names, message',
    [
        (np.full((1, 1, 4), np.nan), NAMES, 'NaN or infinity'),
        (SCORES, NAMES[:3], 'gives 4 classes, but 3 have names'),
    ],
)
def test_what_a_network_must_not_give(image, scores, names, message):
    (prediction,) = Fixed('image', scores, names)(image)
    assert message in prediction.error and prediction.probabilities is None


def test_the_bar_sees_each_file_as_it_is_done(video, image):
    seen = []

    def bar(predictions, total):
        for p in predictions:
            seen.append((p.file, total))
            yield p

    Fixed('image')([image, video], bar)
    assert seen == [(image, 2), (video, 2)]


def test_names_of_classes(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('a\nb\n')
    assert class_names(2, path) == class_names(2, path, ['a', 'b']) == class_names(2, path, None, 'xy') == ['a', 'b']
    assert class_names(2, None, ('x', 'y')) == class_names(2, None, None, ('x', 'y')) == ['x', 'y']
    assert class_names(3, None, ('x', 'y')) == class_names(3) == ['0', '1', '2']
    with pytest.raises(ValueError, match='names.txt names 2 classes, but there are 3'):
        class_names(3, path)


def test_files_hold_all_that_is_predicted(video, image, tmp_path):
    predictions = [*Fixed()([video, tmp_path / 'no.mp4']), *Fixed('image', SCORES[:, :1])(image)]
    write(predictions, tmp_path / 'out.json', top=2)
    write(predictions, tmp_path / 'out.csv', top=2)
    entries = json.loads((tmp_path / 'out.json').read_text())
    assert entries[1] == dict(file=str(tmp_path / 'no.mp4'), kind='video', error='no such file')
    assert [i['top'][0]['name'] for i in entries[0]['iterates']] == ['[bird]', 'cat']
    assert entries[0]['iterates'][1]['clips'][1][0] == dict(label=1, name='dog, hound', probability=0.6)
    assert 'clips' not in entries[2]['iterates'][0]
    with open(tmp_path / 'out.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    # two iterates of two classes: the video's and those of its two clips; an error; the image's
    assert len(rows) == 2 * 2 * 3 + 1 + 2 * 2
    row = rows[8]
    assert (row['iterate'], row['clip'], row['rank'], row['name'], row['probability']) == ('2', '1', '1', 'cat', '0.7')
    assert rows[12]['error'] == 'no such file' and not rows[12]['name']


def test_names_from_outside_are_data_in_every_output(tmp_path):
    bad = ['=1+2', '\x1b[2J', '$x', '\u202eb']
    path = tmp_path / 'a\udcff.png'
    with open(path, 'wb') as file:
        Image.new('RGB', (20, 12)).save(file, format='png')
    predictions = Fixed('image', SCORES[:, :1], bad)([path])
    assert predictions[0].error is None
    for suffix in ('json', 'csv'):
        write(predictions, tmp_path / f'out.{suffix}', top=4)
    with open(tmp_path / 'out.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows[:4]] == [r'\u202eb', '$x', r'\x1b[2J', "'=1+2"]
    assert rows[0]['file'].endswith(r'a\xff.png')
    (entry,) = json.loads((tmp_path / 'out.json').read_text())
    assert entry['file'] == str(path) and entry['iterates'][0]['top'][2]['name'] == '\x1b[2J'
    console = Console(file=io.StringIO(), width=120)
    console.print(table(predictions, 4))
    shown = console.file.getvalue()
    assert '\x1b' not in shown and '\u202e' not in shown and r'\x1b[2J' in shown and r'\xff.png' in shown


def test_the_table(video, image):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(Fixed()([video, 'no.mp4']), top=3))
    text = console.export_text()
    assert '40.0 % cat' in text and '35.0 % [bird]' in text and '1 of 2' in text and 'no.mp4' not in text
    assert len([line for line in text.splitlines() if '%' in line]) == 2, 'a line for each iterate'
    console.print(table(Fixed('image', SCORES[:1, :1])(image), top=9))
    text = console.export_text()
    assert 'clips' not in text and 'iterate' not in text and 'top 4' in text and 'top 5' not in text


def test_the_table_of_the_last_iterate_has_whole_names_and_a_line_a_file(video, image):
    names = ['a class whose name is as long as those of ImageNet are, or longer', 'dog', 'cat, [tabby]', 'bird']
    predictions = [*Fixed(names=names)([video, 'no.mp4']), *Fixed('image', SCORES[:, :1], names)(image)]

    def shown(width, top=4):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(table(predictions, top, all_iterates=False))
        return console.export_text()

    lines = [line for line in shown(1000).splitlines() if '%' in line]
    assert len(lines) == 2 and 'iterate' not in shown(1000), 'a line for each file'
    last = predictions[0].top(4)[-1]
    assert all(f'{100 * ranked.probability:5.1f} % {ranked.name} ' in lines[0] for ranked in last)
    assert all(word in shown(80, top=1) for word in names[0].split()), 'wrapped, and not cut'


def test_a_narrow_terminal_has_fewer_classes_and_still_a_line_a_file(video, image):
    names = ['orbit_counterclockwise', 'orbit_clockwise', 'drift_right', 'drift_left']
    predictions = [*Fixed(names=names)([video]), *Fixed('image', SCORES[:, :1], names)(image)]
    counts = {}
    for width in (60, 80, 110, 140, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        shown, counts[width] = fitting_table(predictions, console, top=3, all_iterates=False)
        console.print(shown)
        rows = [line for line in console.export_text().splitlines() if line.startswith('│')]
        assert counts[width] == 1 or len(rows) == 2, width
        assert counts[width] == 1 or all(name in ' '.join(rows) for name in (predictions[0].top(1)[-1][0].name,))
    assert counts[60] == 1 and counts[200] == 3 and sorted(counts.values()) == list(counts.values())


def test_outputs_that_cannot_be_written_are_found_before_anything_is_done(tmp_path):
    (tmp_path / 'file').write_text('')
    check_outputs([tmp_path / 'new' / 'a.csv'], [tmp_path / 'newer'])
    assert [p.name for p in tmp_path.iterdir()] == ['file'], 'nothing is made before there is something to write'
    with pytest.raises(ValueError, match='must end in .csv or .json, got .*a.txt'):
        check_outputs([tmp_path / 'a.txt'])
    for files, folders in [([tmp_path / 'file' / 'a.csv'], []), ([], [tmp_path / 'file'])]:
        with pytest.raises(OSError, match=f'cannot write to {tmp_path / "file"}'):
            check_outputs(files, folders)
    with pytest.raises(IsADirectoryError, match='newer.json is a folder'):
        (tmp_path / 'newer.json').mkdir()
        check_outputs([tmp_path / 'newer.json'])


def test_an_annotated_image_has_the_image_and_bars_as_long_as_the_probabilities(image, tmp_path):
    (prediction,) = Fixed('image', np.array([[[1.0, 0.0, 0.0, 0.0]], [[0.25, 0.75, 0.0, 0.0]]]))(image)
    path = annotated_copy(prediction, tmp_path / 'out', top=2)
    assert path == tmp_path / 'out' / 'photo.png' and annotated_copy(prediction, path.parent).name == 'photo_2.png'
    pixels = np.asarray(Image.open(path))
    assert pixels.shape[1] == 600 and (pixels[:360] == (10, 200, 30)).all()
    below = pixels[360:]
    blue, orange = (31, 119, 180), (255, 127, 14)

    def longest(color, half):
        same = (below[:, half * 300 : (half + 1) * 300] == color).all(axis=2).sum(axis=1)
        return same.max()

    # the best class of the last iterate is blue, the next one orange, in each iterate
    width = longest(orange, 0)
    assert width > 250 and longest(blue, 0) == 0
    assert longest(blue, 1) == pytest.approx(0.75 * width, abs=2) and longest(orange, 1) == pytest.approx(
        0.25 * width, abs=2
    )


def test_an_annotated_video_has_all_frames_at_the_same_rate(video, tmp_path):
    (prediction,) = Fixed()(video)
    path = annotated_copy(prediction, tmp_path / 'out')
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format='rgb24') for frame in file.decode(stream)]
        assert len(frames) == 6 and stream.average_rate == 10
    assert frames[0].shape[0] == 376 + panel(prediction.top(3), 600).height and frames[0].shape[1] == 600
    assert np.abs(frames[3][50:300, 50:550].mean(axis=(0, 1)) - (200, 0, 0)).max() < 8
    assert not list((tmp_path / 'out').glob('.*')), 'nothing half-written is left'


def test_a_copy_that_cannot_be_written_is_the_fault_of_its_file(video, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('')
    (prediction,) = Fixed()(video, use=lambda p: annotated_copy(p, Path(tmp_path, 'file')))
    assert 'FileExistsError' in prediction.error or 'NotADirectoryError' in prediction.error


def test_long_names_fit(tmp_path):
    names = ['a very long name of a class, with synonyms'] * 4
    prediction = Prediction(tmp_path / 'x.png', 'image', names, np.full((4, 4), 0.25))
    assert panel(prediction.top(4), 200).width == 200
