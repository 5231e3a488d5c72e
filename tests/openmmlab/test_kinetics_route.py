"""From a stock checkpoint of mmaction2 over its fine-tuning to the recurrent network, in one run."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.runner import KaizenRunner
from tests.conftest import ROOT

STOCK = 'mmaction::recognition/slowonly/slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb.py'


@pytest.fixture
def stock(tmp_path):
    """A checkpoint as mmaction2 publishes it, of 400 classes, of a narrow network."""
    init_default_scope('mmaction')
    model = get_config(STOCK).model
    model.backbone.update(base_channels=8, pretrained=None)
    model.cls_head.in_channels = 256
    torch.manual_seed(1)
    state = MODELS.build(model).state_dict()
    torch.save(
        dict(state_dict=state, meta=dict(dataset_meta=dict(classes=['of Kinetics'] * 400))), tmp_path / 'stock.pth'
    )
    return tmp_path / 'stock.pth', state


@pytest.fixture
def config(digits, stock, tmp_path, monkeypatch):
    """The config on tiny clips, an epoch in each phase; phase one at rate 0 shows what it starts from."""
    monkeypatch.setenv('KAIZEN_LIST_ROOT', str(digits))
    monkeypatch.setenv('KAIZEN_LIST_CLASSES', '8')
    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_slowonly_r50_list.py')
    assert cfg.phase_one.load_from == Config.fromfile(ROOT / 'configs' / 'any_network' / 'slowonly_r50.py').load_from
    cfg.model.backbone.update(input_shape=(3, 8, 32, 32), pool_kernel=1)
    cfg.model.backbone.backbone.base_channels = 8
    cfg.model.cls_head.head.in_channels = 256
    steps = [
        dict(type='DecordInit'),
        dict(type='SampleFrames', clip_len=8, frame_interval=1, num_clips=1),
        dict(type='DecordDecode'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    for name in ('train_dataloader', 'val_dataloader'):
        cfg[name].update(batch_size=4, num_workers=0)
        cfg[name].dataset.pipeline = steps
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path / 'work'),
            'experiment_name': 'route',
            'phase_one.load_from': str(stock[0]),
            'phase_one.train_cfg.max_epochs': 1,
            'train_cfg.max_epochs': 1,
            'phase_one.optim_wrapper.optimizer.lr': 0.0,
        }
    )
    return cfg


@pytest.mark.slow
def test_phase_one_fine_tunes_and_phase_two_adds_the_recurrence(config, stock):
    path, state = stock
    KaizenRunner.from_cfg(config).train()
    work = Path(config.work_dir)
    one, two = (read_checkpoint(work / name)['state_dict'] for name in ('phase_one/epoch_1.pth', 'epoch_1.pth'))
    assert one['cls_head.fc_cls.weight'].shape == (8, 256)
    for name, value in state.items():
        if not name.startswith('cls_head.') and 'running_' not in name and 'num_batches' not in name:
            assert torch.equal(one[name], value), name
    log = next((work / 'phase_one').glob('*/*.log')).read_text()
    message = (
        'The checkpoint is of 400 classes: its classifier is left out and starts anew '
        '(cls_head.fc_cls.weight (400, 256), cls_head.fc_cls.bias (400,))'
    )
    assert message in log
    frozen = 'backbone.layer4.2.conv1.conv.weight'
    assert torch.equal(two[frozen], state[frozen]) and two['backbone.layer4.2.adapter.linears.0.weight'].any()
    assert not torch.equal(two['cls_head.fc_cls.weight'], one['cls_head.fc_cls.weight'])


def test_given_to_phase_two_the_checkpoint_is_refused_with_what_to_do(config, stock):
    config.load_from = str(stock[0])
    with pytest.raises(ValueError, match=r'\(400, 256\) for \(8, 256\).*in phase one, use phase_one.load_from'):
        KaizenRunner.from_cfg(config).train()
    assert not list(Path(config.work_dir).rglob('epoch_*.pth'))
