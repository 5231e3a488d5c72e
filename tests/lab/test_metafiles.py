"""The index of models agrees with the configs, the records of what was measured, and the networks."""

import json
import statistics
from pathlib import Path

import modelindex
import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from kaizen_mm.lab import metafiles
from kaizen_mm.lab.metafiles import write_metafiles

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'


def models() -> list:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return [model for path in index['Import'] for model in yaml.safe_load((ROOT / path).read_text())['Models']]


MEASURED = [model for model in models() if 'Results' in model]


def test_the_files_are_what_is_written_of_the_records():
    for path, content in metafiles.metafiles(ROOT).items():
        assert yaml.safe_load((ROOT / path).read_text()) == content, 'run: python tools/reproduce.py page'


def test_every_config_is_named_once():
    leaves = {f'configs/{path.relative_to(CONFIGS)}' for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    named = [model['Config'] for model in models()]
    assert sorted(named) == sorted(leaves)
    assert len({model['Name'] for model in models()}) == len(named)


def test_accuracies_are_those_of_the_records():
    assert len(MEASURED) > 20
    for model in MEASURED:
        for result in model['Results']:
            record = json.loads((ROOT / result['Record']).read_text())
            config = Path(model['Config']).relative_to('configs').with_suffix('').as_posix()
            rows = {row.get('config', name): row for name, row in record['rows'].items() if not row.get('changes')}
            top1 = rows[config]['top1']['per_seed']
            assert len(top1) == result['Seeds']
            assert abs(statistics.mean(top1) - result['Metrics']['Top 1 Accuracy']) <= 0.005 + 1e-9, model['Name']


@pytest.mark.parametrize('model', MEASURED, ids=[model['Name'] for model in MEASURED])
def test_parameters_are_those_of_the_network(model):
    cfg = Config.fromfile(ROOT / model['Config'])
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        network = MODELS.build(cfg.model)
    assert sum(p.numel() for p in network.parameters()) == model['Metadata']['Parameters']


def test_openmmlab_s_reader_of_such_files_finds_no_fault():
    index = modelindex.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert index.check(silent=True) == []
    assert {model.name for model in index.models} == {model['Name'] for model in models()}


def test_a_config_of_no_family_is_told(tmp_path):
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'unheard_of.py').touch()
    with pytest.raises(ValueError, match=r'configs/unheard_of.py belongs to no family'):
        write_metafiles(tmp_path)
    assert not (tmp_path / 'model-index.yml').exists()
