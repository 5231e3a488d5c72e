"""The picture of all settings is drawn from the records."""

import json
from pathlib import Path

import pytest

from kaizen_mm.lab.overview import SETTINGS, differences, plot_overview
from kaizen_mm.lab.tables import TABLES

RESULTS = Path(__file__).resolve().parents[2] / 'results'


@pytest.mark.parametrize('setting', SETTINGS, ids=lambda setting: setting.title)
def test_differences_are_those_of_the_record(setting):
    found = differences(setting, RESULTS)
    row = json.loads((RESULTS / f'{setting.record}.json').read_text())['rows'][setting.recurrent]
    table = TABLES[setting.record]
    for key, title, name in (
        ('difference', 'control', table.control),
        ('difference_to_rival', 'parameters', table.rival),
    ):
        if name and name == getattr(setting, title):
            assert found[title] == pytest.approx((row[key]['mean'], row[key]['standard_error']))
    assert 'control' in found


def test_without_a_record_there_is_no_picture(tmp_path):
    with pytest.raises(FileNotFoundError):
        plot_overview(tmp_path, tmp_path / 'overview.png')
    plot_overview(RESULTS, tmp_path / 'overview.png')
    assert (tmp_path / 'overview.png').stat().st_size > 10_000
