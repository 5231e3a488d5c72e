"""The work-arounds work, and each tells when its fault is gone upstream."""

import inspect
import os
import pickle
import subprocess
import sys

import mmengine.dist.utils
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint

from kaizen_mm.checkpoint_files import read_checkpoint


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True)


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.slow
def test_models_import_and_drn_says_what_to_install():
    done = python(
        'import kaizen_mm, mmaction.models; from mmaction.registry import MODELS; MODELS.build(dict(type="DRN"))'
    )
    assert done.returncode and 'install mmaction2 from its source' in done.stderr


@pytest.mark.slow
def test_a_complete_mmaction2_is_left_alone(tmp_path):
    (tmp_path / 'models' / 'localizers' / 'drn').mkdir(parents=True)
    done = python(f"""
import kaizen_mm, mmaction, importlib.machinery, importlib.util, sys
for name in [n for n in sys.modules if n.startswith('mmaction.models.localizers.drn')]:
    del sys.modules[name]
complete = importlib.machinery.ModuleSpec('mmaction', None, is_package=True)
complete.submodule_search_locations = [{str(tmp_path)!r}]
importlib.util.find_spec = lambda name: complete
from kaizen_mm.openmmlab.compat import provide_drn
provide_drn()
assert not [n for n in sys.modules if n.startswith('mmaction.models.localizers.drn')]
""")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_drn_work_around_is_still_needed():
    assert 'localizers.drn' in python('import mmaction.models').stderr, 'provide_drn can go'


def test_the_checkpoint_work_around_is_still_needed(tmp_path):
    path = tmp_path / 'buffer.pth'
    torch.save(dict(buffer=HistoryBuffer([1.0], [1])), path)
    code = f'from mmengine.runner.checkpoint import _load_checkpoint; _load_checkpoint({str(path)!r})'
    assert 'UnpicklingError' in python(code).stderr, 'read_checkpoints_safely can be made smaller'


def test_the_work_around_for_cpus_is_still_needed():
    source = inspect.getsource(inspect.unwrap(mmengine.dist.utils._init_dist_pytorch))
    assert 'torch.cuda.set_device(local_rank)' in source, 'gloo_without_gpu can be made smaller'


def test_the_work_around_for_classifiers_of_configs_is_still_needed():
    import inspect

    import mmpretrain

    assert 'metainfo is not None' in inspect.getsource(mmpretrain.inference_model.__wrapped__)


def test_a_log_buffer_comes_back(tmp_path):
    buffer = HistoryBuffer()
    for value in (1.0, 2.0, 6.0):
        buffer.update(value)
    torch.save(dict(buffer=buffer), tmp_path / 'buffer.pth')
    loaded = read_checkpoint(tmp_path / 'buffer.pth')['buffer']
    assert loaded.mean(2) == 4 and loaded.max() == 6 and loaded.statistics('min', 2) == 2


@pytest.mark.parametrize(
    'load',
    [read_checkpoint, CheckpointLoader.load_checkpoint, lambda path: load_checkpoint(torch.nn.Linear(1, 1), path)],
)
def test_pickled_code_is_refused_and_not_run(tmp_path, monkeypatch, load):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    path, trace = tmp_path / 'bad.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, extra=Malicious(trace)), path)
    with pytest.raises(ValueError, match='bad.pth is refused'):
        load(str(path))
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), 'the file does run code where it is let to'


def test_getattr_gives_nothing_but_the_statistics_of_a_log_buffer(tmp_path):

    class Escape:
        def __reduce__(self):
            return getattr, (HistoryBuffer, '__init__')

    torch.save(Escape(), tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match='not allowed'):
        read_checkpoint(tmp_path / 'bad.pth')


def test_old_pickles_are_refused(tmp_path):
    path, trace = tmp_path / 'old.pth', tmp_path / 'trace'
    path.write_bytes(pickle.dumps(Malicious(trace)))
    with pytest.raises(ValueError, match='old.pth'):
        read_checkpoint(path)
    assert not trace.exists()


def test_downloads_are_restricted_too(monkeypatch, tmp_path):
    import mmengine.runner.checkpoint as checkpoint

    assert checkpoint.load_url.keywords == dict(weights_only=True)


def test_loaders_of_other_schemes_are_restricted_too(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    path, trace = tmp_path / 'bad.pth', tmp_path / 'trace'
    torch.save(dict(extra=Malicious(trace)), path)

    def load_from_elsewhere(filename, map_location=None):
        return torch.load(path, map_location=map_location)

    CheckpointLoader.register_scheme('elsewhere://', load_from_elsewhere)
    with pytest.raises(ValueError, match='bad.pth is refused: it holds pickled .* GLOBAL posix.mkdir'):
        CheckpointLoader.load_checkpoint('elsewhere://bad.pth')
    assert not trace.exists()


def test_a_cut_off_checkpoint_is_named(tmp_path):
    path = tmp_path / 'cut.pth'
    torch.save(dict(weight=torch.zeros(1000)), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match='cut.pth is cut off or damaged'):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match='none.pth'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))


@pytest.mark.slow
@pytest.mark.parametrize('missing', ['timm', 'mmaction', 'mmcv', 'mmpretrain', 'mmengine'])
def test_the_core_works_where_a_library_is_missing(missing):
    blocked = ('mmengine', 'mmaction', 'mmpretrain', 'mmcv', 'timm') if missing == 'mmengine' else (missing,)
    done = python(f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name.split('.')[0] in {blocked!r} else find(name, *a)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Finder())
import torch, kaizen_mm
from kaizen_mm.models import kaizen_mfnet3d_n9
net = kaizen_mfnet3d_n9(num_iterations=2, num_classes=3, input_size=(10, 96, 96))
assert len(net.forward_iterates(torch.zeros(2, 3, 10, 96, 96))) == 2
""")
    assert done.returncode == 0, done.stderr
