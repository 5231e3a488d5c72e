"""``import kaizen_mm`` changes nothing in other packages beyond their registries and a short list."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mmaction
import pytest
import torch

from tests.conftest import ROOT

# by the function of kaizen_mm/openmmlab/compat.py that does it; beside them the stand-in of provide_drn
REPLACED = {
    'read_checkpoints_safely': {
        'mmengine.infer.infer.BaseInferencer._init_model',
        'mmengine.runner.checkpoint.CheckpointLoader._schemes',
        'mmengine.runner.checkpoint.CheckpointLoader.load_checkpoint',
        'mmengine.runner.checkpoint.load_url',
    },
    'infer_with_classifiers_of_configs': {
        'mmpretrain.apis.inference_model',
        'mmpretrain.apis.model.inference_model',
        'mmpretrain.inference_model',
    },
}
# names are registered here, in dictionaries rather than in a Registry
REGISTRIES = re.compile(
    r'mmengine\.fileio\.(io|backends(\.registry_utils)?)\.(backends|prefix_to_backends)'
    r'|mmengine\.analysis\.complexity_analysis\._DEFAULT_SUPPORTED_(FLOP|ACT)_OPS'
    r'|mmpretrain\.apis\.model\.ModelHub\._models_dict'
    r'|timm\.models\._registry\._\w+|timm\.layers\._fx\._leaf_modules'
)


def python(*words, cwd=None, **environment) -> str:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', **environment)
    command = [sys.executable, '-W', 'ignore', *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_what_an_import_changes_is_a_short_list_and_can_be_undone():
    lines = python(ROOT / 'tests' / 'other_packages.py').splitlines()
    end = lines.index('--- undone')
    changed = [line for line in lines[:end] if re.match('(new|replaced|filled|gone) ', line)]
    filled = [line.removeprefix('filled ') for line in changed if line.startswith('filled ')]
    assert not [name for name in filled if not REGISTRIES.fullmatch(name)]
    assert {line for line in changed if not line.startswith('filled ')} == {
        f'replaced {name}' for names in REPLACED.values() for name in names
    }
    # the loaders of schemes are put back one by one, in a dictionary that mmengine sorts anew
    left = {line for line in lines[end:] if line.startswith(('new ', 'replaced ', 'gone '))}
    assert left == {'replaced mmengine.runner.checkpoint.CheckpointLoader._schemes'}


def test_the_list_is_on_the_page_for_developers():
    page = (ROOT / 'docs' / 'developers.md').read_text(encoding='utf-8')
    for name in ('provide_drn', *REPLACED):
        assert f'| `{name}` |' in page


TRAIN = """
import runpy, sys
from tests.other_packages import stand_in_for_drn
stand_in_for_drn()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
CONFIG = """
_base_ = {stock!r}
model = dict(
    backbone=dict(depth=18, pretrained=None, norm_eval=False), cls_head=dict(in_channels=512, num_classes=8)
)
steps = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=2),
    dict(type='DecordDecode'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
data = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(pipeline=steps, **{files!r}))
train_dataloader, val_dataloader = data, data
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2)
randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=1, save_best=None))
"""


@pytest.mark.slow
def test_a_stock_training_is_the_same_with_the_package_imported(digits, tmp_path):
    tools = Path(mmaction.__file__).parent / '.mim'
    (stock,) = (tools / 'configs' / 'recognition' / 'tsn').glob(
        'tsn_imagenet-pretrained-r50_8xb32-1x1x3-*kinetics400-rgb.py'
    )
    files = dict(ann_file=str(digits / 'train.txt'), data_prefix=dict(video=str(digits / 'videos')))
    text = CONFIG.format(stock=str(stock), files=files)
    runs = {}
    for name, more in (('without', ''), ('with', "custom_imports = dict(imports=['kaizen_mm'])\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / 'config.py').write_text(text + more)
        python('-c', TRAIN, tools / 'tools' / 'train.py', 'config.py', '--work-dir', 'work', cwd=folder)
        runs[name] = folder / 'work'

    def written(work):
        return sorted(re.sub(r'\d{8}_\d{6}', 'TIME', str(path.relative_to(work))) for path in work.rglob('*'))

    def scalars(work):
        (path,) = work.glob('*/vis_data/scalars.json')
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return [{key: value for key, value in entry.items() if 'time' not in key} for entry in entries]

    def log(work):
        (path,) = work.glob('*/*.log')
        lines = path.read_text().split('Hooks will be executed')[1].splitlines()
        return [re.sub(r'\d{8}_\d{6}|^\S+ \S+|time: \S+|eta: \S+|with(out)?/', '', line) for line in lines]

    assert written(runs['with']) == written(runs['without'])
    assert scalars(runs['with']) == scalars(runs['without']) and len(scalars(runs['with'])) > 8
    assert log(runs['with']) == log(runs['without'])
    one, two = (torch.load(work / 'epoch_2.pth', weights_only=False) for work in runs.values())
    assert str(one['state_dict']) == str(two['state_dict']) and one.keys() == two.keys()
    assert one['meta'].keys() == two['meta'].keys()
