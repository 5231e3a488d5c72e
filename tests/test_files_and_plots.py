"""Files written whole, and the plot of results."""
import pytest

from kaizen_mm.files import whole_file, write_lines
from kaizen_mm.plots import plot_iterates, plot_table


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'folder' / 'a.txt'
    write_lines(path, ['one', 'two'])
    assert path.read_text() == 'one\ntwo\n'
    with pytest.raises(KeyboardInterrupt):
        with whole_file(path) as part:
            part.write_text('half')
            raise KeyboardInterrupt
    assert path.read_text() == 'one\ntwo\n' and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('seeds', [1, 3])
def test_the_plot_draws_every_iterate_and_both_baselines(tmp_path, monkeypatch, seeds):
    import matplotlib.pyplot as plt
    monkeypatch.setattr(plt, 'close', lambda figure: None)
    plain = dict(clip_top1=50., video_top1=60.)
    results = dict(phase_one=plain, static_control=dict(clip_top1=52., video_top1=62.),
                   kaizen=dict(per_seed=[dict(clip_top1=[51., 53., 54. + s], video_top1=[61., 63., 64.]) for s in range(seeds)]))
    plot_iterates(results, tmp_path / 'new' / 'plot.png')
    assert (tmp_path / 'new' / 'plot.png').read_bytes().startswith(b'\x89PNG')
    clips = plt.gcf().axes[0]
    assert list(clips.lines[0].get_xdata()) == [1, 2, 3]
    assert clips.lines[0].get_ydata()[2] == 54 + (seeds - 1) / 2
    assert {line.get_ydata()[0] for line in clips.lines if line.get_label() in ('phase one', 'static control')} == {50., 52.}


@pytest.mark.parametrize('seeds', [1, 2])
def test_the_plot_of_a_table_draws_ours_control_and_paper(tmp_path, monkeypatch, seeds):
    import matplotlib.pyplot as plt
    monkeypatch.setattr(plt, 'close', lambda figure: None)

    def row(mean, iterates, paper=None):
        std = 0.5 if seeds > 1 else None
        return dict(top1=dict(mean=mean, std=std), per_iterate=[[mean - i for i in range(iterates)]] * seeds, paper_top1=paper)

    rows = {'net': row(90., 1, 89.), 'net_control': row(91., 1)}
    for k in (2, 3):
        rows[f'kaizen_net_k{k}'], rows[f'recurrent_net_k{k}'] = row(93. + k, k, 92. + k), row(92. + k, k, 91. + k)
    plot_table(rows, tmp_path / 'table.png')
    assert (tmp_path / 'table.png').read_bytes().startswith(b'\x89PNG')
    left, right = plt.gcf().axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in left.lines}
    assert drawn['paper'] == [94., 95.] and drawn['paper, no kaizen loss'] == [93., 94.]
    assert drawn['phase one'] == [90., 90.] and drawn['static control'] == [91., 91.]
    assert [list(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == 2][0] == [95., 96.]
    assert list(right.lines[0].get_ydata()) == [96., 95., 94.]
