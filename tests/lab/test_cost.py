"""What networks cost: counted by hand, and in a table and a plot."""

from pathlib import Path

import pytest
from mmengine.config import Config

from kaizen_mm.lab.cost import add_costs, cost
from kaizen_mm.lab.measures import MEASURES
from kaizen_mm.lab.plots import plot_costs
from kaizen_mm.lab.reproduce import markdown
from kaizen_mm.lab.table import Table

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAME = 'comparators/cornet_z_tiny_imagenet'


@pytest.fixture(autouse=True)
def photos(image_folders, monkeypatch):
    monkeypatch.setenv('KAIZEN_IMAGE_ROOT', str(image_folders))
    monkeypatch.setenv('KAIZEN_IMAGE_CLASSES', '4')


def test_multiply_adds_by_hand():
    found = cost(Config.fromfile(CONFIGS / f'{NAME}.py'), batch_size=4, repeats=1)
    # a quarter as wide, 32 px: 7x7 of stride 2, then 3x3 on maps of 8, 4 and 2, and the classifier
    by_hand = 16 * 16 * 49 * 3 * 16 + 9 * (64 * 16 * 32 + 16 * 32 * 64 + 4 * 64 * 128) + 128 * 4
    assert found['multiply_adds'] == by_hand
    assert set(found['images_per_second']) == {'training', 'inference'} and min(found['images_per_second'].values()) > 0


def test_iterations_are_counted():
    cfg = Config.fromfile(CONFIGS / 'comparators' / 'conv_rnn_tiny_imagenet.py')
    counts = []
    for cfg.model.backbone.num_iterations in (1, 2, 3):
        counts.append(cost(cfg, batch_size=2, repeats=1)['multiply_adds'])
    assert counts[1] - counts[0] == counts[2] - counts[1] > 0


@pytest.mark.parametrize('kwargs', [dict(batch_size=0), dict(repeats=0)])
def test_wrong_arguments_are_named(kwargs):
    with pytest.raises(ValueError, match=f'{next(iter(kwargs))} must be an int >= 1, got 0'):
        cost(Config.fromfile(CONFIGS / f'{NAME}.py'), **kwargs)


def test_table_and_plot_show_the_costs(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, 'close', lambda figure: None)
    table = Table('photos', NAME, {NAME: None}, MEASURES['top1'], {}, costs=True)
    rows = {
        NAME: dict(
            parameters=1234, top1=dict(mean=20.0, std=None, per_seed=[20.0]), per_iterate=[[20.0]], paper_top1=None
        )
    }
    add_costs(rows, table, CONFIGS)
    rows[NAME]['images_per_second'] = dict(training=100.4, inference=300.6)
    lines = markdown(rows).splitlines()
    assert lines[0] == (
        '| config | parameters | multiply-adds | images/s, training | images/s, inference | top-1, mean ± std | '
        'per seed | mean per iterate |'
    )
    assert lines[2] == f'| `{NAME}.py` | 1,234 | 1.49 M | 100 | 301 | 20.00 | 20.00 | - |'
    plot_costs(rows, tmp_path / 'costs.png', 'Data')
    (axis,) = plt.gcf().axes
    assert axis.get_xscale() == 'log' and [text.get_text() for text in axis.texts] == ['cornet_z']
    assert (
        list(axis.lines[0].get_xdata()) == [rows[NAME]['multiply_adds']]
        and (tmp_path / 'costs.png').stat().st_size > 1000
    )
