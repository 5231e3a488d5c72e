"""No text of a checkpoint is run, on any way in; each text creates a file if it is."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.openmmlab.runner import KaizenRunner
from tests.openmmlab.toy import toy_runner


@pytest.fixture
def trace(tmp_path) -> Path:
    return tmp_path / 'seen'


@pytest.fixture
def poisoned(trace, tmp_path) -> Path:
    """The checkpoint of a finished epoch with code wherever a checkpoint of mmengine or MMCV may have text."""
    toy_runner(tmp_path / 'work', epochs=1).train()
    path = tmp_path / 'work' / 'epoch_1.pth'
    poison(path, trace)
    return path


def poison(path: Path, trace: Path) -> None:
    code = (
        f'x = __import__("os").mkdir({str(trace)!r})\nmodel = dict(type="subprocess.Popen", args=["mkdir", '
        f'{str(trace)!r}])'
    )
    checkpoint = read_checkpoint(path)
    for key in ('config', 'cfg', 'CLASSES', 'env_info', 'hook_msgs'):
        checkpoint['meta'][key] = code
    checkpoint['meta']['dataset_meta'] = dict(classes=code)
    checkpoint['message_hub']['runtime_info'].update(cfg=code)
    torch.save(checkpoint, path)


def test_the_poison_works(poisoned, trace):
    Config.fromstring(read_checkpoint(poisoned)['meta']['config'], '.py')
    assert trace.exists()


@pytest.mark.parametrize('given', [True, False])
def test_resuming(poisoned, trace, tmp_path, given):
    runner = toy_runner(tmp_path / 'work', resume=True, load_from=str(poisoned) if given else None)
    runner.train()
    assert runner.epoch == 2 and (tmp_path / 'work' / 'epoch_2.pth').exists()
    assert not trace.exists()


def test_starting_from_it(poisoned, trace, tmp_path):
    toy_runner(tmp_path / 'other', load_from=str(poisoned)).train()
    assert not trace.exists()


def test_inferencers_take_no_config_out_of_it(poisoned, trace):
    from mmaction.apis.inferencers import ActionRecogInferencer
    from mmengine.infer import BaseInferencer

    class Inferencer(BaseInferencer):
        _init_pipeline = visualize = postprocess = None

    for inferencer in (Inferencer, ActionRecogInferencer):
        with pytest.raises(ValueError, match='model must be a config: the one in the checkpoint .*epoch_1.pth is code'):
            inferencer(model=None, weights=str(poisoned))
    assert not trace.exists()


@pytest.fixture
def classifier() -> Config:
    return Config(
        dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='LeNet5', num_classes=10),
                head=dict(type='ClsHead'),
                data_preprocessor=dict(mean=[0.0], std=[1.0]),
            ),
            test_dataloader=dict(dataset=dict(type='MNIST', pipeline=[dict(type='mmpretrain.PackInputs')])),
        )
    )


def test_mmpretrain_s_ways(classifier, trace, tmp_path):
    from mmpretrain.apis import FeatureExtractor, ImageClassificationInferencer, get_model, init_model

    path = tmp_path / 'lenet.pth'
    network = get_model(classifier)
    torch.save(dict(meta={}, message_hub=dict(runtime_info={}), state_dict=network.state_dict()), path)
    poison(path, trace)
    for way in (get_model, init_model, FeatureExtractor, ImageClassificationInferencer):
        loaded = way(classifier, str(path), device='cpu')
        weight = getattr(loaded, 'model', loaded).backbone.features[0].weight
        assert torch.equal(weight, network.backbone.features[0].weight), way
    classifier.model.init_cfg = dict(type='Pretrained', checkpoint=str(path))
    network = get_model(classifier)
    network.init_weights()
    assert torch.equal(network.backbone.features[0].weight, weight)
    assert not trace.exists()


def test_mmaction_s_way(config, trace, tmp_path):
    from mmaction.apis import init_recognizer
    from mmaction.registry import MODELS

    path = tmp_path / 'a.pth'
    torch.save(
        dict(meta={}, message_hub=dict(runtime_info={}), state_dict=MODELS.build(config.model).state_dict()), path
    )
    poison(path, trace)
    init_recognizer(config, str(path), device='cpu')
    config.load_from, config.work_dir = str(path), str(tmp_path / 'test')
    KaizenRunner.from_cfg(config).load_or_resume()
    assert not trace.exists()
