"""What becomes of a stream: lines, the picture of it, the annotated copy, the terminal."""

import io
import json

import av
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kaizen_mm.inference.overlay import panel
from kaizen_mm.streams import Event, Frame, WindowPrediction
from kaizen_mm.streams.annotated import AnnotatedStream
from kaizen_mm.streams.display import Display
from kaizen_mm.streams.lines import JsonLines
from kaizen_mm.streams.timeline import Timeline

NAMES = ['cat', '[dog]', '\x1b[2Jbird', '$x']


def prediction(index, start, end, probabilities=(0.7, 0.2, 0.1, 0.0), cut=None, wrote=False):
    return WindowPrediction(
        index=index,
        start=start,
        end=end,
        time=start / 25,
        duration=(end - start - 1) / 25,
        cut=cut,
        names=NAMES,
        probabilities=np.array(probabilities),
        passes=3 if wrote else 1,
        wrote=wrote,
        recurrent=True,
    )


# --- lines -------------------------------------------------------------------------


def test_a_line_is_there_as_soon_as_its_window(tmp_path):
    path = tmp_path / 'new' / 'a.jsonl'
    lines = JsonLines(path, top=2)
    assert not path.parent.exists()
    lines.add(prediction(0, 0, 8, wrote=True))
    first = {
        'window': 0,
        'start': 0,
        'end': 8,
        'time': 0.0,
        'duration': 0.28,
        'top': [
            {'label': 0, 'name': 'cat', 'probability': 0.7},
            {'label': 1, 'name': '[dog]', 'probability': 0.2},
        ],
        'passes': 3,
        'wrote': True,
        'cut': None,
    }
    assert [json.loads(line) for line in path.read_text().splitlines()] == [first]
    lines.event(Event(9, 0.36, 'it does not decode whole'))
    lines.add(prediction(1, 8, 16, (0.1, 0, 0.9, 0), cut=10))
    assert [json.loads(line) for line in path.read_text().splitlines()][1:] == [
        {'frame': 9, 'time': 0.36, 'event': 'it does not decode whole'},
        dict(first, window=1, start=8, end=16, time=0.32, passes=1, wrote=False, cut=10)
        | {
            'top': [
                {'label': 2, 'name': NAMES[2], 'probability': 0.9},
                {'label': 0, 'name': 'cat', 'probability': 0.1},
            ]
        },
    ]
    lines.close()
    with pytest.raises(FileExistsError):
        JsonLines(path).add(prediction(0, 0, 8))


# --- the picture -------------------------------------------------------------------


def drawn(path):
    return np.asarray(Image.open(path).convert('RGB'))


def spots(pixels, color):
    """Where a colour is, left to right, in shares of the width of the axes."""
    dark = (pixels < 60).all(axis=2)
    frame = np.flatnonzero(dark.sum(axis=0) > 0.6 * pixels.shape[0])  # the sides of the upper axes
    columns = np.flatnonzero((pixels == color).all(axis=2).sum(axis=0) > 40)  # the band is 60 pixels high
    return (columns - frame[0]) / (frame[-1] - frame[0])


def test_the_picture_has_the_first_class_of_each_time(tmp_path):
    path = tmp_path / 'new' / 'a.png'
    timeline = Timeline(path)
    for index in range(8):
        likely = (0.9, 0.1, 0, 0) if index < 6 else (0.2, 0.8, 0, 0)
        timeline.add(prediction(index, 10 * index, 10 * index + 10, likely, wrote=index in (0, 6)))
    timeline.close()
    pixels = drawn(path)
    blue, orange = spots(pixels, (31, 119, 180)), spots(pixels, (255, 127, 14))
    # the band changes where the seventh of eight windows begins; the last frame ends the axes
    assert blue.min() < 0.02 and blue.max() == pytest.approx(60 / 79, abs=0.02)
    assert orange.min() == pytest.approx(60 / 79, abs=0.02) and orange[orange <= 1].max() > 0.98


def test_marks_are_where_weights_were_written_and_scenes_began(tmp_path, monkeypatch):
    seen = {}

    def close(figure):
        (above, _) = figure.axes
        seen['written'] = next(line for line in above.lines if line.get_marker() == 'v').get_xdata().tolist()
        seen['cuts'] = [line.get_xdata()[0] for line in above.lines if line.get_linestyle() == '--']
        seen['legend'] = [text.get_text() for text in figure.legends[0].get_texts()]
        seen['lines'] = [patch.get_data().values.tolist() for patch in above.patches]

    monkeypatch.setattr('kaizen_mm.streams.timeline.plt.close', close)
    timeline = Timeline(tmp_path / 'a.png')
    rows = [(0.6, 0.4, 0, 0), (0.1, 0.7, 0.2, 0), (0, 0.8, 0.2, 0)]
    for index, row in enumerate(rows):
        timeline.add(prediction(index, 25 * index, 25 * index + 25, row, 30 if index == 1 else None, index < 2))
    timeline.close()
    assert seen['written'] == [0, 1] and seen['cuts'] == [1]
    # the class that is first longest comes first; names are no markup of matplotlib and no control characters
    assert seen['legend'] == ['[dog]', 'cat', r'\x1b[2Jbird', r'\$x', 'another scene begins', 'weights are written']
    np.testing.assert_allclose(seen['lines'][0], [40, 70, 80], rtol=1e-6)


def test_the_picture_of_a_long_stream_takes_no_more_room(tmp_path):
    timeline, plain = Timeline(tmp_path / 'a.png', columns=8), []
    random = np.random.default_rng(0)
    for index in range(100):
        row = random.dirichlet(np.ones(4))
        plain.append(row)
        timeline.add(prediction(index, index, index + 1, row, wrote=index == 37, cut=50 if index == 50 else None))
        assert len(timeline._done) < 8 and len(timeline._begun) < 16
    assert timeline._windows == 16
    for place, (time, mean, wrote, cut) in enumerate(timeline._done):
        np.testing.assert_allclose(mean, np.mean(plain[16 * place : 16 * place + 16], axis=0), rtol=1e-5)
        assert time == pytest.approx(16 * place / 25) and wrote == (place == 2) and cut == (place == 3)
    timeline.close()
    assert drawn(tmp_path / 'a.png').size


def test_no_window_no_picture(tmp_path):
    Timeline(tmp_path / 'a.png').close()
    assert not list(tmp_path.iterdir())


# --- the annotated copy ------------------------------------------------------------


def frames_of(path):
    with av.open(str(path)) as file:
        return [(frame.time, frame.to_ndarray(format='rgb24')) for frame in file.decode(video=0)]


def grey(index):
    return Frame(index, index / 25, np.full((40, 60, 3), 5 * index, np.uint8))


def run(copy, frames, windows):
    """Frames come, and each window after its last frame."""
    windows = list(windows)
    for frame in frames:
        copy.watch(frame)
        assert len(copy._waiting) <= 8
        while windows and windows[0].end == frame.index + 1:
            copy.add(windows.pop(0))
    for window in windows:  # those of the tail
        copy.add(window)
    copy.close()


@pytest.mark.parametrize(
    'starts, shown',
    [
        ((0, 8, 16, 24), lambda frame: frame // 8),
        ((0, 4, 8, 12, 16, 20, 24), lambda frame: max(0, -(-(frame - 7) // 4))),  # the first window that has it
        ((0, 12, 24), lambda frame: frame // 12),  # between windows, the one before
        ((0, 16, 24), lambda frame: {0: 0, 1: 0, 2: 1, 3: 2}[frame // 8]),
    ],
)
def test_the_copy_has_each_frame_once_with_its_window(tmp_path, starts, shown):
    path = tmp_path / 'new' / 'a.mp4'
    rows = np.eye(4)
    windows = [prediction(n, start, start + 8, rows[n % 4]) for n, start in enumerate(starts)]
    run(AnnotatedStream(path, 8, top=2), map(grey, range(32)), windows)
    found = frames_of(path)
    assert [time for time, _ in found] == pytest.approx(np.arange(32) / 25)
    below = found[0][1].shape[0] - 400
    bars = {}
    for index, (_, pixels) in enumerate(found):
        assert abs(float(pixels[50:350, 50:550].mean()) - 5 * index) < 4, 'the frame itself'
        bars.setdefault(shown(index), []).append(pixels[400:].astype(int))
    assert len(bars) == len(windows) and below > 40
    for same in bars.values():
        assert max(np.abs(one - same[0]).mean() for one in same) < 3
    firsts = [same[0] for same in bars.values()]
    assert all(np.abs(one - other).mean() > 3 for one, other in zip(firsts, firsts[1:]))


def test_frames_of_another_size_and_of_no_window_are_in_the_copy(tmp_path):
    small = [Frame(index, index / 25, np.full((20, 60, 3), 200, np.uint8)) for index in range(3)]
    large = [Frame(index, index / 25, np.full((60, 60, 3), 90, np.uint8)) for index in range(3, 11)]
    run(AnnotatedStream(tmp_path / 'a.mp4', 8), [*small, *large], [prediction(0, 3, 11)])
    found = frames_of(tmp_path / 'a.mp4')
    assert len(found) == 11 and len({pixels.shape for _, pixels in found}) == 1
    assert found[0][1][200:].min() > 250, 'nothing is said of frames that are in no window'
    assert found[5][1][200:].min() < 100
    middle = found[5][1][100, :, 0]
    assert abs(int(middle[300]) - 90) < 4 and middle[10] > 250, 'fitted into the first size'


def test_times_of_a_stream_are_those_of_the_copy(tmp_path):
    times = [0, 0.04, 0.08, 1.08, 1.12, 1.0, 1.16, 1.2]  # frames are lost; one comes back in time
    frames = [Frame(index, time, np.zeros((40, 60, 3), np.uint8)) for index, time in enumerate(times)]
    run(AnnotatedStream(tmp_path / 'a.mp4', 8), frames, [prediction(0, 0, 8)])
    shown = [time for time, _ in frames_of(tmp_path / 'a.mp4')]
    assert len(shown) == 8 and shown == sorted(shown)
    assert np.delete(shown, 5) == pytest.approx(np.delete(times, 5), abs=2e-4)


def test_what_has_been_written_can_be_seen_before_the_end(tmp_path):
    """As after a kill."""
    copy = AnnotatedStream(tmp_path / 'a.mp4', 8)
    for index in range(160):
        copy.watch(grey(index % 50)._replace(index=index, time=index / 25))
        if index % 8 == 7:
            copy.add(prediction(index // 8, index - 7, index + 1))
    (tmp_path / 'b.mp4').write_bytes((tmp_path / 'a.mp4').read_bytes())
    assert len(frames_of(tmp_path / 'b.mp4')) >= 50
    copy.close()
    assert len(frames_of(tmp_path / 'a.mp4')) == 160


def test_classes_keep_their_colours():
    colors = {}
    panel([prediction(0, 0, 8).top(2)], 600, colors=colors)
    first = dict(colors)
    panel([prediction(1, 8, 16, (0, 0.3, 0.6, 0.1)).top(3)], 600, colors=colors)
    assert {label: colors[label] for label in first} == first and len(set(colors.values())) == 4 - 1 + 1


# --- the terminal ------------------------------------------------------------------


def display(terminal, top=2, width=100):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, height=40, _environ={})
    messages = Console(file=io.StringIO(), width=width)
    return Display('a[b].mp4', top, console, messages), console.file, messages.file


def test_lines_where_there_is_no_terminal():
    shown, out, err = display(False, width=40)
    shown.add(prediction(0, 0, 8, (0.1, 0.6, 0.3, 0), wrote=True))
    shown.event(Event(9, 0.36, 'it does not decode whole'))
    shown.add(prediction(1, 8, 16))
    shown.close()
    first, second, last = out.getvalue().splitlines()
    assert first.startswith(
        r'window 0, frames 0-7, 0.0 s: 60.0 % [dog], 30.0 % \x1b[2Jbird (3 passes, weights written, '
    )
    assert second.startswith('window 1, frames 8-15, 0.3 s: 70.0 % cat, 20.0 % [dog] (1 pass, ')
    assert second.endswith(' fps)')
    assert last == '16 frames, 2 windows, 2.00 passes a window, weights written once'
    assert err.getvalue() == 'a[b].mp4: frame 9 (0.36 s): it does not decode whole\n'


def test_a_table_where_there_is_one():
    shown, out, err = display(True)
    for index in range(20):
        shown.add(prediction(index, 8 * index, 8 * index + 8, (0.1, 0.6, 0.3, 0), wrote=index % 5 == 0))
    shown.event(Event(160, 6.4, 'it does not decode whole'))
    shown.close()
    text = out.getvalue()
    final = text[text.rindex('top 1') :]
    rows = [line for line in final.splitlines() if ' % [dog]' in line]
    assert len(rows) == 8, 'the last windows'
    assert '60.0 % [dog]' in rows[-1] and r'30.0 % \x1b[2Jbird' in rows[-1] and '6.1 s' in rows[-1]
    assert '3 wrote' in rows[3] and 'wrote' not in rows[-1]
    assert '160 frames, 20 windows, 1.40 passes a window, weights written 4 times' in final and ' fps' in final
    assert 'a[b].mp4: frame 160 (6.40 s): it does not decode whole' in text and not err.getvalue()


def test_frames_per_second_are_those_of_the_last_windows(monkeypatch):
    now = iter([0.0, 10.0, *(10.0 + 0.5 * n for n in range(1, 20))])
    monkeypatch.setattr('kaizen_mm.streams.display.time.perf_counter', lambda: next(now))
    shown, _, _ = display(False)
    shown.add(prediction(0, 0, 8))
    assert shown.rate == pytest.approx(0.8)
    for index in range(1, 12):
        shown.add(prediction(index, 8 * index, 8 * index + 8))
    assert shown.rate == pytest.approx(16)


def test_no_window_no_summary():
    shown, out, _ = display(False)
    shown.close()
    assert not out.getvalue()
