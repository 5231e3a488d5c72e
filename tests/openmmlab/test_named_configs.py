"""Configs of the package are found by name from any folder."""

import pytest
from mmengine.config import Config

from kaizen_mm.config_files import CONFIGS, config_path
from kaizen_mm.openmmlab.named_configs import load_config
from kaizen_mm.openmmlab.runner import KaizenRunner

NAME = 'kaizen_mm::kaizen_mfnet_digits.py'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_config_is_read_by_its_name():
    cfg = load_config(NAME)
    assert cfg.model.backbone.num_iterations > 1 and cfg.filename == str(CONFIGS / 'kaizen_mfnet_digits.py')
    assert load_config('kaizen_mm::any_network/tsn_r50.py').model.type == 'Recognizer2D'


def test_a_config_of_ones_own_inherits_from_one(elsewhere):
    (elsewhere / 'mine.py').write_text(f'_base_ = {NAME!r}\ntrain_cfg = dict(max_epochs=7)\n')
    cfg = load_config('mine.py')
    expected = load_config(NAME).to_dict()
    expected['train_cfg']['max_epochs'] = 7
    assert cfg.to_dict() == expected


def test_other_packages_and_files_are_found_as_before(elsewhere):
    (elsewhere / 'plain.py').write_text('a = 1')
    assert load_config('plain.py').a == load_config(elsewhere / 'plain.py').a == 1
    (elsewhere / 'stock.py').write_text("_base_ = 'mmpretrain::_base_/models/resnet18.py'")
    assert load_config('stock.py').model.backbone.depth == 18
    assert Config._get_cfg_path('plain.py', 'a/b.py') == ('a/plain.py', None), 'mmengine is as it was'


def test_names_of_none_say_what_is_near():
    for call in (load_config, KaizenRunner.from_cfg, config_path):
        with pytest.raises(FileNotFoundError, match="no config 'kaizen_mfnet_digit.py'.*kaizen_mfnet_digits.py"):
            call('kaizen_mm::kaizen_mfnet_digit.py')
    with pytest.raises(FileNotFoundError, match="no config 'zzz'; they are in "):
        config_path('kaizen_mm::zzz')


@pytest.mark.parametrize('name', ['../..', '../../secret.py', '', '.', '_base_', '{folder}/secret.py', 'README.md'])
def test_a_name_leads_nowhere_but_into_the_folder(elsewhere, name, monkeypatch):
    configs = elsewhere / 'a' / 'b'
    configs.mkdir(parents=True)
    for path in (elsewhere / 'secret.py', configs / 'README.md'):
        path.write_text('a = 1')
    monkeypatch.setattr('kaizen_mm.config_files.CONFIGS', configs)
    for call in (load_config, KaizenRunner.from_cfg, config_path):
        with pytest.raises(FileNotFoundError, match='kaizen_mm has no config'):
            call('kaizen_mm::' + name.format(folder=elsewhere))
