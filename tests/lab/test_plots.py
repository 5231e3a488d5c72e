"""The plots of results."""

import pytest

from kaizen_mm.lab.plots import plot_iterates, plot_table


@pytest.mark.parametrize('seeds', [1, 3])
def test_the_plot_draws_every_iterate_and_both_baselines(tmp_path, monkeypatch, seeds):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, 'close', lambda figure: None)
    results = dict(
        phase_one=dict(per_seed=[dict(clip_top1=50.0, video_top1=60.0)] * seeds),
        static_control=dict(per_seed=[dict(clip_top1=52.0, video_top1=62.0)] * seeds),
        kaizen=dict(
            per_seed=[
                dict(clip_top1=[51.0, 53.0, 54.0 + s], video_top1=[61.0, 63.0, 64.0], tested=100) for s in range(seeds)
            ]
        ),
    )
    plot_iterates(results, tmp_path / 'new' / 'plot.png')
    assert (tmp_path / 'new' / 'plot.png').read_bytes().startswith(b'\x89PNG')
    clips = plt.gcf().axes[0]
    assert list(clips.lines[0].get_xdata()) == [1, 2, 3]
    assert clips.lines[0].get_ydata()[2] == 54 + (seeds - 1) / 2
    bars = clips.containers[0].lines[2][0].get_segments()  # binomial for one seed, of the mean for three
    assert (bars[2][1, 1] - bars[2][0, 1]) / 2 == pytest.approx(
        100 * (0.54 * 0.46 / 100) ** 0.5 if seeds == 1 else 1 / 3**0.5
    )
    bands = [patch.get_height() / 2 for patch in clips.patches]
    assert bands == pytest.approx([100 * (p * (1 - p) / 100) ** 0.5 for p in (0.52, 0.5)] if seeds == 1 else [0, 0])
    assert {line.get_ydata()[0] for line in clips.lines if line.get_label() in ('phase one', 'static control')} == {
        50.0,
        52.0,
    }


@pytest.mark.parametrize('seeds', [1, 2])
def test_the_plot_of_a_table_draws_every_row_its_spread_and_the_paper(tmp_path, monkeypatch, seeds):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, 'close', lambda figure: None)

    def row(mean, iterates, paper=None):
        std = 0.5 if seeds > 1 else None
        return dict(
            top1=dict(mean=mean, std=std, per_seed=[mean] * seeds),
            parameters=1234,
            per_iterate=[[mean - i for i in range(iterates)]] * seeds,
            paper_top1=paper,
        )

    rows = {'net': row(90.0, 1, 89.0), 'net_big': row(99.0, 1, 98.0), 'net_control': row(91.0, 1)}
    for k in (2, 3):
        rows[f'kaizen_net_k{k}'], rows[f'recurrent_net_k{k}'] = row(93.0 + k, k, 92.0 + k), row(92.0 + k, k, 91.0 + k)
    plot_table(rows, tmp_path / 'table.png', 'Data')
    assert (tmp_path / 'table.png').read_bytes().startswith(b'\x89PNG')
    left, right = plt.gcf().axes
    points = [(list(line.get_xdata())[0], list(line.get_ydata())[0], line.get_marker()) for line in left.lines]
    drawn = {place: x for x, place, marker in points if marker == 'o'}
    assert [drawn[place] for place in range(len(rows))] == [r['top1']['mean'] for r in rows.values()]
    paper = {place: x for x, place, marker in points if marker == 'x'}
    assert paper == {place: r['paper_top1'] for place, r in enumerate(rows.values()) if r['paper_top1'] is not None}
    assert len([c for c in left.containers if c.has_xerr]) == (len(rows) if seeds > 1 else 0)
    assert [t.get_text() for t in left.get_yticklabels()][1] == 'net_big  (1,234)'
    curves = [line for line in right.lines if line.get_marker() == 'o']
    assert [list(line.get_ydata()) for line in curves] == [[96.0, 95.0, 94.0], [95.0, 94.0, 93.0]]
    assert not set(curves[0].get_xdata()) & set(curves[1].get_xdata())  # neither hides the other
    assert plt.gcf().get_suptitle() == 'Data'


def test_rows_that_change_a_config_are_of_its_kind(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, 'close', lambda figure: None)
    row = dict(top1=dict(mean=90.0, std=1.0, per_seed=[90.0] * 2), parameters=10, paper_top1=None)
    one, two = [[90.0]] * 2, [[80.0, 90.0]] * 2
    rows = {
        'static': dict(row, config='kaizen_net_k2', changes={'model.backbone.num_iterations': 1}, per_iterate=one),
        'centre': dict(row, config='kaizen_net_k2', changes={}, per_iterate=two),
        'no_loss': dict(row, config='kaizen_net_k2', changes={'model.head.loss.kaizen_weight': 0.0}, per_iterate=two),
    }
    plot_table(rows, tmp_path / 'table.png')
    labels = [container.get_label() for container in plt.gcf().axes[0].containers]
    assert labels == ['plain', 'recurrent, kaizen loss', 'recurrent, no kaizen loss']


def test_the_plot_of_a_table_without_recurrent_rows_has_one_panel(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, 'close', lambda figure: None)
    row = dict(top1=dict(mean=90.0, std=None, per_seed=[90.0]), parameters=10, per_iterate=[[90.0]], paper_top1=None)
    plot_table({'net': row, 'net_control': row}, tmp_path / 'table.png')
    assert len(plt.gcf().axes) == 1
