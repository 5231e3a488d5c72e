"""What was imported from a former place is imported from there still."""

import os
import pickle
import subprocess
import sys
from importlib import import_module

import pytest
from torch import nn

import kaizen_mm
from kaizen_mm.former_places import MODULES, NAMES
from kaizen_mm.surgery import RecurrentNetwork


def run(code: str) -> None:
    subprocess.run([sys.executable, '-c', code], check=True, env=os.environ)


def test_names_of_networks_and_of_surgery():
    from kaizen_mm.models import BagNet, MFNet
    from kaizen_mm.models import RecurrentNetwork as former

    assert former is RecurrentNetwork and issubclass(MFNet, nn.Module) and issubclass(BagNet, nn.Module)
    with pytest.raises(AttributeError, match="'kaizen_mm.models' has no attribute 'Recurrent'"):
        kaizen_mm.models.Recurrent
    with pytest.raises(ImportError, match='Recurrent'):
        from kaizen_mm.models import Recurrent  # noqa: F401


@pytest.mark.parametrize('former', MODULES)
def test_a_module_is_the_same_under_its_former_name(former):
    assert import_module(former) is import_module(MODULES[former])


@pytest.mark.parametrize('former', NAMES)
def test_a_name_is_the_same_at_its_former_place(former):
    module, name = former.rsplit('.', 1)
    assert getattr(import_module(module), name) is getattr(import_module(NAMES[former]), name)


def test_former_names_of_timm_in_a_fresh_process():
    pytest.importorskip('timm')
    run('import kaizen_mm.timm_models, timm; assert timm.is_model("kaizen_mfnet2d") and timm.is_model("cornet_s")')


def test_a_network_pickled_under_the_former_name_is_read():
    pickled = b'ckaizen_mm.models.surgery\nRecurrentNetwork\n.'
    assert pickle.loads(pickled) is RecurrentNetwork
    run(f'import pickle; assert pickle.loads({pickled!r}).__module__ == "kaizen_mm.surgery.network"')


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match='kaizen_mm.models.surgeries'):
        import_module('kaizen_mm.models.surgeries')
