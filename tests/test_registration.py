"""Names are registered with each library when it is imported, and not before."""

import importlib
import subprocess
import sys

import pytest

from kaizen_mm.registration import _AfterImport

LIBRARIES = (
    'timm',
    'mmengine',
    'mmcv',
    'mmaction',
    'mmpretrain',
    'fvcore',
    'torchvision',
    'av',
    'decord',
    'rich',
    'matplotlib',
)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_core_imports_torch_alone():
    out = python("""
import sys, torch
before = set(sys.modules)
import kaizen_mm.layers, kaizen_mm.losses, kaizen_mm.models, kaizen_mm.introspection, kaizen_mm.export
print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {'torch'})
""")
    assert set(out.split()) <= {'kaizen_mm', 'numpy'}, out


@pytest.mark.slow
def test_each_library_gets_its_names_when_it_is_imported():
    python(f"""
import sys
import kaizen_mm
imported = lambda: [name for name in {LIBRARIES} if name in sys.modules]
assert not imported(), imported()
import timm
assert timm.is_model('kaizen_mfnet2d')
import mmengine
from mmengine.registry import HOOKS
assert 'RecurrenceHook' in HOOKS.module_dict
assert 'mmaction' not in imported() and 'mmpretrain' not in imported(), imported()
from mmpretrain.registry import MODELS as OF_IMAGES
assert OF_IMAGES.get('AdaptiveRecurrentClsHead').__module__ == 'kaizen_mm.openmmlab.image.heads'
assert 'mmaction' not in imported()
from mmaction.registry import MODELS as OF_VIDEOS
assert OF_VIDEOS.get('AdaptiveRecurrentHead').__module__ == 'kaizen_mm.openmmlab.video.heads'
from fvcore.nn import FlopCountAnalysis, flop_count
assert 'aten::baddbmm' in sys.modules['fvcore.nn.flop_count']._DEFAULT_SUPPORTED_OPS
""")


@pytest.mark.slow
def test_libraries_that_are_imported_before_get_theirs_at_once():
    python("""
import sys, timm, fvcore.nn
from mmengine.registry import HOOKS
from mmpretrain.registry import MODELS as OF_IMAGES
from mmaction.registry import MODELS as OF_VIDEOS
import kaizen_mm.layers
assert timm.is_model('kaizen_mfnet2d')
assert 'RecurrenceHook' in HOOKS.module_dict
assert 'AdaptiveRecurrentClsHead' in OF_IMAGES.module_dict and 'AdaptiveRecurrentHead' in OF_VIDEOS.module_dict
assert 'aten::baddbmm' in sys.modules['fvcore.nn.flop_count']._DEFAULT_SUPPORTED_OPS
""")


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Writes a module and waits for it; gives the list of what was seen in it when it had been imported."""
    monkeypatch.syspath_prepend(tmp_path)
    seen = []

    def write(source):
        (tmp_path / 'waited_for.py').write_text(source)
        importlib.invalidate_caches()
        return seen

    finder = _AfterImport(
        {
            'waited_for': lambda: seen.append(sys.modules['waited_for'].value),
            'never_there': lambda: seen.append('never'),
        }
    )
    sys.meta_path.insert(0, finder)
    yield write
    sys.meta_path.remove(finder)
    sys.modules.pop('waited_for', None)


def test_the_action_is_done_once_after_the_module_has_run(library):
    seen = library('value = 0\nvalue = 1')
    assert importlib.util.find_spec('waited_for') is not None and seen == []  # looked for, not imported
    module = importlib.import_module('waited_for')
    assert seen == [1]
    importlib.reload(module)
    importlib.import_module('waited_for')
    assert seen == [1]


def test_a_failed_import_is_waited_for_again(library):
    seen = library('raise RuntimeError("of its own")')
    with pytest.raises(RuntimeError, match='of its own'):
        importlib.import_module('waited_for')
    assert library('value = 2') == []
    importlib.import_module('waited_for')
    assert seen == [2]


def test_what_is_not_installed_stays_so(library):
    assert importlib.util.find_spec('never_there') is None
    with pytest.raises(ModuleNotFoundError, match="No module named 'never_there'"):
        importlib.import_module('never_there')
