"""The records in results/ are of the tables and configs as they stand: the same rows, changes and epochs."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from kaizen_mm.lab.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
RECORDS = {path.stem: path for path in sorted((ROOT / 'results').glob('*.json'))}


@pytest.mark.parametrize('name', RECORDS)
def test_a_record_is_of_its_table(name):
    record, table = json.loads(RECORDS[name].read_text()), TABLES[name]
    assert list(record['rows']) == list(table.rows)
    for row, content in record['rows'].items():
        config, changes = table.variants.get(row, (row, {}))
        assert content.get('config', row) == config
        assert content.get('changes', {}) == json.loads(json.dumps(changes)), row
        epochs = Config.fromfile(ROOT / 'configs' / f'{config}.py').train_cfg.max_epochs
        assert content['epochs'] == changes.get('train_cfg.max_epochs', epochs), row
        assert len(content['top1']['per_seed']) == len(record['seeds'])
        if 'taken' in content:
            other, its_row = table.taken[row]
            assert content['taken'] == other
            source = json.loads(RECORDS[other].read_text())
            where = [source['seeds'].index(seed) for seed in record['seeds']]
            assert content['top1']['per_seed'] == [source['rows'][its_row]['top1']['per_seed'][i] for i in where]
