"""Configs of the package are found by name from any folder."""

import mmengine.hub
import pytest
from mmengine.config import Config

from kaizen_mm.openmmlab.named_configs import CONFIGS, config_path

NAME = 'kaizen_mm::kaizen_mfnet_digits.py'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_config_is_read_by_its_name():
    cfg = Config.fromfile(NAME)
    assert cfg.model.backbone.num_iterations > 1 and cfg.filename == str(CONFIGS / 'kaizen_mfnet_digits.py')
    assert mmengine.hub.get_config(NAME).to_dict() == cfg.to_dict()
    assert Config.fromfile('kaizen_mm::any_network/tsn_r50.py').model.type == 'Recognizer2D'


def test_a_config_of_ones_own_inherits_from_one(elsewhere):
    (elsewhere / 'mine.py').write_text(f'_base_ = {NAME!r}\ntrain_cfg = dict(max_epochs=7)\n')
    cfg = Config.fromfile('mine.py')
    expected = Config.fromfile(NAME).to_dict()
    expected['train_cfg']['max_epochs'] = 7
    assert cfg.to_dict() == expected


def test_other_packages_and_files_are_found_as_before(elsewhere):
    (elsewhere / 'plain.py').write_text('a = 1')
    assert Config.fromfile('plain.py').a == Config.fromfile(elsewhere / 'plain.py').a == 1
    (elsewhere / 'stock.py').write_text("_base_ = 'mmpretrain::_base_/models/resnet18.py'")
    assert Config.fromfile('stock.py').model.backbone.depth == 18
    assert mmengine.hub.get_config('mmpretrain::_base_/models/resnet18.py').model.backbone.depth == 18


def test_names_of_none_say_what_is_near():
    for call in (Config.fromfile, mmengine.hub.get_config, config_path):
        with pytest.raises(FileNotFoundError, match="no config 'kaizen_mfnet_digit.py'.*kaizen_mfnet_digits.py"):
            call('kaizen_mm::kaizen_mfnet_digit.py')
    with pytest.raises(FileNotFoundError, match="no config 'zzz'; they are in "):
        config_path('kaizen_mm::zzz')


def test_there_are_no_published_weights():
    with pytest.raises(ValueError, match='pretrained must be False'):
        mmengine.hub.get_config(NAME, pretrained=True)
