"""The pictures of the rivals are drawn from the records."""

import json
import math
import statistics
from pathlib import Path

import pytest

from kaizen_mm.lab.rival_charts import CHARTS, plot_charts, points
from kaizen_mm.lab.tables import TABLES

RESULTS = Path(__file__).resolve().parents[2] / 'results'


@pytest.mark.parametrize('chart', CHARTS, ids=lambda chart: chart.name)
def test_points_are_rows_of_the_tables(chart):
    rows = [row for record in chart.records for row in TABLES[record].rows]
    assert set(chart.names) == set(rows)
    for record in chart.records:
        assert TABLES[record].costs


def test_points_are_those_of_the_record():
    chart = CHARTS[0]
    rows = json.loads((RESULTS / 'bagnet_cifar10_attention.json').read_text())['rows']
    shown = {point.name: point for point in points(chart, RESULTS)}
    for row, content in rows.items():
        values = content['top1']['per_seed']
        point = shown[chart.names[row]]
        assert (point.multiply_adds, point.top1) == (content['multiply_adds'] / 1e6, content['top1']['mean'])
        assert point.error == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)))
        assert point.kind == (
            'two' if row.startswith('recurrent') else 'one' if row.startswith('attention') else 'static'
        )


def test_without_records_there_are_no_pictures(tmp_path):
    plot_charts(tmp_path, tmp_path / 'images')
    assert not (tmp_path / 'images').exists()
    (tmp_path / 'bagnet3d_attention.json').write_text(
        json.dumps(
            dict(
                rows={
                    'attention': dict(
                        top1=dict(mean=50.0, per_seed=[50.0] * 2), per_iterate=[[50.0]] * 2, multiply_adds=2_000_000
                    ),
                    'not_shown': {},
                    'static': dict(top1=dict(mean=40.0, per_seed=[40.0])),
                }
            )
        )
    )
    (point,) = points(CHARTS[1], tmp_path)
    assert point == ('attention', 'one', 2.0, 50.0, 0.0)
    plot_charts(tmp_path, tmp_path / 'images')
    assert [path.name for path in (tmp_path / 'images').iterdir()] == ['rivals_clips.png']
