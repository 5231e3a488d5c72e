"""Chains of windows in mmaction2: the data set, and the recognizer's loss against that of its windows."""

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch.utils.data import Dataset

from kaizen_mm.config_files import CONFIGS
from kaizen_mm.data.moving_digits import MovingDigits
from kaizen_mm.layers import rewriting, written_weights
from kaizen_mm.layers.recurrent_block import recurrent_blocks

CONFIG = CONFIGS / 'kaizen_bagnet3d_moving_camera_k2_chain.py'
DIGITS = dict(type='MovingDigitsInMemory', split='train', clutter=1.0, camera=1.0, size=32, num_frames=12, num_train=16)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


class Numbered(Dataset):
    """Videos of which each frame holds ``100 * video + frame``."""

    metainfo = dict(classes=('a', 'b', 'c'))

    def __init__(self, frames=6, clips=1, labels=(0, 1, 2)):
        self.frames, self.clips, self.labels = frames, clips, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        frames = 100 * index + torch.arange(self.frames)
        inputs = frames.view(1, 1, -1, 1, 1).expand(self.clips, 3, -1, 2, 2)
        return dict(inputs=inputs, data_samples=ActionDataSample().set_gt_label(self.labels[index]))


def chained(windows=3, dataset=None, **options):
    return DATASETS.build(dict(type='ChainedWindows', dataset=dataset or Numbered(), windows=windows, **options))


def test_a_chain_is_the_windows_of_a_video_in_order():
    data = chained()
    assert len(data) == 3 and data.metainfo['classes'] == ('a', 'b', 'c')
    sample = data[1]
    assert sample['inputs'].shape == (3, 3, 2, 2, 2)
    assert sample['inputs'][:, 0, :, 0, 0].tolist() == [[100, 101], [102, 103], [104, 105]]
    marks = sample['data_samples']
    assert marks.window_labels.tolist() == [1, 1, 1] and marks.begins.tolist() == [True, False, False]
    assert marks.gt_label.tolist() == [1]


@pytest.mark.parametrize('told', [0.0, 0.5, 1.0])
def test_other_videos_begin_among_the_windows(told):
    np.random.seed(0)
    data = chained(cut=0.5, told=told)
    begun = cuts = 0
    for _ in range(400):
        sample = data[0]
        marks, first = sample['data_samples'], sample['inputs'][:, 0, 0, 0, 0]
        assert (first % 100).tolist() == [0, 2, 4], 'a window keeps its place in the video'
        assert marks.window_labels.tolist() == (first // 100).tolist()
        changes = first[1:] // 100 != first[:-1] // 100
        begun += int(marks.begins[1:].sum())
        cuts += int(changes.sum())
        assert marks.begins[0] and (told == 1 or told > 0 or not marks.begins[1:].any())
        if told == 1:
            assert not (changes & ~marks.begins[1:]).any()
    assert 400 * 2 * 0.5 * 0.55 < cuts < 400 * 2 * 0.5 * 0.78, 'of three videos one is the same'
    assert begun == pytest.approx(400 * told, abs=60)


def test_cuts_follow_the_seed():
    data = chained(cut=0.5, told=0.5)
    drawn = []
    for _ in range(2):
        np.random.seed(3)
        drawn.append([data[i % 3]['inputs'].flatten().tolist() for i in range(20)])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize('options, message', [
    (dict(windows=0), 'windows must be an int >= 1, got 0'),
    (dict(cut=1.5), 'cut must be'),
    (dict(told=-1), 'told must be'),
])  # fmt: skip
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        chained(**options)


@pytest.mark.parametrize('dataset, message', [
    (Numbered(frames=7), r'a T that windows=3 divides, got \(1, 3, 7, 2, 2\)'),
    (Numbered(clips=2), r'inputs must be \[1, C, T, H, W\]'),
    (Numbered(labels=([0, 1], [1], [2])), r'samples must have one label, sample 0 has \[0, 1\]'),
])  # fmt: skip
def test_other_samples_are_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        chained(dataset=dataset)[0]


def test_digits_of_the_first_classes_alone():
    every, some = DATASETS.build(DIGITS), DATASETS.build(dict(DIGITS, classes=6))
    labels = MovingDigits(**{k: v for k, v in DIGITS.items() if k not in ('type', 'split')}).labels('train')
    assert some.labels.tolist() == [label for label in labels.tolist() if label < 6] and len(some) == 12
    kept = [index for index, label in enumerate(labels.tolist()) if label < 6]
    assert torch.equal(some.clips, every.clips[kept])
    assert len(DATASETS.build(dict(DIGITS, classes=6, max_clips=5))) == 5
    for wrong in (dict(classes=9), dict(classes=0), dict(classes=6, max_clips=13)):
        with pytest.raises(ValueError, match=next(reversed(wrong))):
            DATASETS.build({**DIGITS, **wrong})


def model(**options):
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIG).model
    backbone = {key: options.pop(key) for key in ('num_iterations',) if key in options}
    cfg.backbone.update(backbone)
    made = MODELS.build({**cfg, **options}).double()
    for _, block in recurrent_blocks(made):
        for linear in block.adapter.linears if block.num_iterations > 1 else ():
            torch.nn.init.normal_(linear.weight, std=0.1)  # at zero h would write nothing
    return made.train()


def batch(windows=3, chains=2, begins=(), marked=True):
    torch.manual_seed(1)
    inputs = torch.randn(chains, windows, 1, 4, 32, 32, dtype=torch.float64)
    samples = []
    for chain in range(chains):
        sample = ActionDataSample().set_gt_label(chain)
        if marked:
            sample.set_field(torch.arange(windows) + chain, 'window_labels')
            sample.set_field(torch.tensor([w == 0 or (chain, w) in begins for w in range(windows)]), 'begins')
        samples.append(sample)
    return inputs, samples


def labelled(*labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


@pytest.mark.parametrize('decay', [0.0, 0.5])
def test_the_loss_is_the_mean_over_the_windows(decay):
    net = model(decay=decay, truncate=None)
    inputs, samples = batch()
    log = net(inputs, samples, mode='loss')
    assert len(net.cls_head.last_scores) == 2 and 0 <= log['held_top1_acc'] <= 1
    # of each window by plain calls
    first = net.extract_feat(inputs[:, :1])[0]
    losses = [net.cls_head.loss(first, labelled(0, 1))]
    held = written_weights(net, inputs[:, :1])
    for window in (1, 2):
        with rewriting(net, held) as written:
            feats = net.extract_feat(inputs[:, window : window + 1])[0]
        losses.append(net.cls_head.loss(feats, labelled(window, window + 1)))
        held = written.weights
    torch.testing.assert_close(log['loss_cls'], sum(own['loss_cls'] for own in losses) / 3, rtol=1e-10, atol=0)
    for key in ('iterate_1_ce', 'iterate_2_ce', 'top1_acc'):
        torch.testing.assert_close(log[key], losses[0][key], rtol=1e-10, atol=0)
    ce = (losses[1]['loss_cls'] + losses[2]['loss_cls']) / 2
    torch.testing.assert_close(log['held_ce'], ce.detach(), rtol=1e-10, atol=0)
    assert [key for key in log if 'loss' in key] == ['loss_cls']


def test_told_cuts_are_first_windows():
    net = model()
    inputs, samples = batch(begins=[(0, 1), (0, 2), (1, 1), (1, 2)])
    log = net(inputs, samples, mode='loss')
    assert not any(key.startswith('held') for key in log)
    inputs = torch.cat([inputs[0], inputs[1]])[:, None]
    alone = net(inputs, labelled(0, 1, 2, 1, 2, 3), mode='loss')
    torch.testing.assert_close(log['loss_cls'], alone['loss_cls'], rtol=1e-10, atol=0)


def test_one_window_is_the_training_of_recognizer3d():
    for marked in (True, False):
        net = model()
        inputs, samples = batch(windows=1, marked=marked)
        for sample in samples if marked else ():
            sample.set_gt_label(sample.window_labels)
        log = net(inputs, samples, mode='loss')
        log['loss_cls'].backward()
        other = model()
        wanted = other.cls_head.loss(other.extract_feat(inputs)[0], samples)
        wanted['loss_cls'].backward()
        assert set(log) == set(wanted)
        torch.testing.assert_close(log['loss_cls'], wanted['loss_cls'], rtol=0, atol=0)
        for a, b in zip(net.parameters(), other.parameters()):
            torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=0)


def test_a_network_of_one_iteration_sees_each_window_by_itself():
    net = model(num_iterations=1)
    inputs, samples = batch()
    log = net(inputs, samples, mode='loss')
    alone = net.cls_head.loss(net.extract_feat(inputs.flatten(0, 1)[:, None])[0], labelled(0, 1, 2, 1, 2, 3))
    torch.testing.assert_close(log['loss_cls'], alone['loss_cls'], rtol=1e-12, atol=0)


def test_several_clips_that_are_no_chain_are_refused():
    inputs, samples = batch(marked=False)
    with pytest.raises(ValueError, match='3 clips of a sample must be a chain, as the data set ChainedWindows'):
        model()(inputs, samples, mode='loss')
    for options, message in ((dict(decay=2), 'decay'), (dict(every=0), 'every'), (dict(truncate=0), 'truncate')):
        with pytest.raises(ValueError, match=f'{message} must be'):
            model(**options)


def test_a_training_step_from_the_data_set_of_the_config():
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.dataset.update(num_train=8, num_frames=24)
    data = DATASETS.build(cfg.train_dataloader.dataset)
    torch.manual_seed(0)
    net = MODELS.build({**cfg.model, 'data_preprocessor': cfg.model.data_preprocessor}).train()
    optimizer = build_optim_wrapper(net, cfg.optim_wrapper)
    log = net.train_step(pseudo_collate([data[i] for i in range(4)]), optimizer)
    assert float(log['loss']) == pytest.approx(float(log['loss_cls'])) and float(log['held_ce']) > 0
    (block,) = [block for _, block in recurrent_blocks(net)]
    assert block.decay == cfg.model.decay
