"""Labels are compared with the classifier before the first iteration."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import DATASETS, MODELS
from torch import nn

from kaizen_mm.openmmlab.image.hooks import LabelCheckHook
from kaizen_mm.openmmlab.runner import KaizenRunner


@pytest.fixture
def dataset(tmp_path):
    """Builds a list of images with the given labels; none is read."""

    def build(*labels, **kwargs):
        (tmp_path / 'list.txt').write_text(''.join(f'a.png {label}\n' for label in labels))
        return DATASETS.build(dict(type='CustomDataset', data_root=str(tmp_path), ann_file='list.txt', **kwargs))

    return build


def classifier(num_classes, wrapped=True):
    head = dict(type='LinearClsHead', num_classes=num_classes, in_channels=192)
    return MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='MFNet2d', variant='mfnet2d_n9'),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='AdaptiveRecurrentClsHead', head=head) if wrapped else head,
        )
    )


def runner(model, train=None, val=None, test=None):
    train, val, test = (data and SimpleNamespace(dataset=data) for data in (train, val, test))
    return SimpleNamespace(
        model=model, train_dataloader=train, test_dataloader=test, val_loop=val and SimpleNamespace(dataloader=val)
    )


@pytest.mark.parametrize('wrapped', [True, False])
def test_labels_of_every_split_are_checked(dataset, wrapped):
    good, bad, hook = dataset(0, 3), dataset(0, 5, 1), LabelCheckHook()
    model = classifier(4, wrapped)
    hook.before_train(runner(model, train=good, val=good))
    hook.before_train(runner(model, train=good))
    hook.before_test(runner(model, test=good))
    message = 'num_classes of the head is 4, so labels go from 0 to 3, but those of {}_dataloader.dataset go up to 5'
    with pytest.raises(ValueError, match=message.format('train')):
        hook.before_train(runner(model, train=bad, val=good))
    with pytest.raises(ValueError, match=message.format('val')):
        hook.before_train(runner(model, train=good, val=bad))
    with pytest.raises(ValueError, match=message.format('test')):
        hook.before_test(runner(model, test=bad))
    hook.before_train(runner(classifier(6, wrapped), train=bad, val=bad))


def test_a_head_without_layers_has_the_classes_of_its_backbone(dataset):
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='MnistCNN', num_classes=4),
            head=dict(type='AdaptiveRecurrentClsHead', head=dict(type='ClsHead')),
        )
    )
    with pytest.raises(ValueError, match='num_classes of the head is 4'):
        LabelCheckHook().before_train(runner(model, train=dataset(4)))


def test_a_model_of_several_processes_is_looked_into(dataset, monkeypatch):
    monkeypatch.setattr(MMDistributedDataParallel, '__init__', lambda self, module: nn.Module.__init__(self))
    model = MMDistributedDataParallel(None)
    model.add_module('module', classifier(4))
    with pytest.raises(ValueError, match='num_classes of the head is 4'):
        LabelCheckHook().before_test(runner(model, test=dataset(4)))


def test_what_cannot_be_checked_is_passed_over(dataset, tmp_path):
    hook, model = LabelCheckHook(), classifier(4)
    (tmp_path / 'list.json').write_text(
        json.dumps(
            dict(
                metainfo=dict(classes=list('abcdef')),
                data_list=[dict(img_path='a.png', gt_label=[0, 2]), dict(img_path='b.png', gt_label=[5])],
            )
        )
    )
    hook.before_train(
        runner(model, train=DATASETS.build(dict(type='MultiLabelDataset', ann_file=str(tmp_path / 'list.json'))))
    )
    hook.before_test(runner(model, test=dataset(8, with_label=False)))
    hook.before_train(runner(model, train=[1, 2, 3]))
    hook.before_train(runner(nn.Linear(1, 1), train=dataset(99)))


def test_training_stops_before_its_first_iteration(mnist_config):
    mnist_config.model.backbone.num_classes = 5
    with pytest.raises(
        ValueError, match='num_classes of the head is 5, .* those of train_dataloader.dataset go up to 9'
    ):
        KaizenRunner.from_cfg(mnist_config).train()
    with pytest.raises(
        ValueError, match='num_classes of the head is 5, .* those of test_dataloader.dataset go up to 9'
    ):
        KaizenRunner.from_cfg(mnist_config).test()
    assert not list(Path(mnist_config.work_dir).rglob('*.pth'))


def test_training_without_validation(mnist_config):
    mnist_config.val_cfg = mnist_config.val_dataloader = mnist_config.val_evaluator = None
    KaizenRunner.from_cfg(mnist_config).train()
    assert Path(mnist_config.work_dir, 'epoch_1.pth').exists()
