"""What the Python blocks of the pages find, how long ones are shortened, and what must come of them."""

import re
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

import numpy as np
import timm
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from kaizen_mm.models import RecurrentNetwork
from kaizen_mm.openmmlab.training.phase_one import phase_one_config
from tests.conftest import ROOT
from tests.openmmlab.samples import batch
from tests.openmmlab.trained import image_config, save, video_config


class Case(NamedTuple):
    """A block of a page that needs something or is looked at; other blocks run as they are.

    Args:
        page: Its page.
        words: Words that no other block of the page has.
        names: Given the folder that it runs in and the fixture ``files``, the names that it finds.
        replaced: What is shortened or found elsewhere, each of which must be there; values may be keys of ``names``.
        after: Words of an earlier block that it follows.
        base: A config, where the block is what a child of it says; ``''`` where it names its own.
        seeds: Random seeds that it runs with.
        check: Given the names afterwards, with ``printed`` among them.
        elsewhere: The file of tests that runs it, where that is not this one.
    """

    page: str
    words: str
    names: Callable[[Path, dict], dict] = lambda folder, files: {}
    replaced: Dict[str, str] = {}
    after: str = ''
    base: str = None
    seeds: tuple = (0,)
    check: Callable[[dict], None] = lambda names: None
    elsewhere: str = ''


def _two_samples(classes: int) -> Callable[[dict], None]:
    def check(names):
        assert torch.isfinite(names['loss']) and names['scores'].shape == (2, classes)

    return check


def _scores_of_ten(names):
    assert names['scores'].shape == (1, 10) and len(names['weights']) == 1


def _a_recurrence_at_work(names):
    printed = names['printed']
    assert 'NOTHING' not in printed
    numbers = {
        line.partition(': ')[0]: [float(n) for n in re.findall(r'[\d.]+', line.partition(': ')[2])]
        for line in printed.splitlines()
        if ': ' in line
    }
    assert all(0.01 < change < 1 for change in numbers['weight change, layer4.1.conv1']), printed
    assert all(change > 0.02 for change in numbers['logit change']), printed
    shown = re.search(r'```\nmeans over(.*?)```', (ROOT / 'README.md').read_text(), flags=re.DOTALL)[1]
    for line in shown.strip().splitlines()[1:]:
        assert line.partition(':')[0] in numbers, 'the README shows what is printed'
    assert names['logits'].shape == (8, 20) and torch.isfinite(names['logits']).all()


def _resnet18(folder, files):
    net = timm.create_model('resnet18', num_classes=4, zero_init_last=False)
    return dict(net=net, resnet=net, images=torch.randn(2, 3, 96, 96), RecurrentNetwork=RecurrentNetwork)


def _iterates(names):
    net = names['net']
    assert isinstance(net, RecurrentNetwork) and len(net.forward_iterates(names['images'])) == net.num_iterations


def _classifier_and_recognizer(folder, files):
    from kaizen_mm.introspection import recurrence_report

    init_default_scope('mmpretrain')
    classifier = MODELS.build(image_config().model).eval()
    init_default_scope('mmaction')
    recognizer = MODELS.build(video_config().model).eval()
    return dict(
        classifier=classifier,
        images=torch.randn(2, 3, 64, 64),
        recognizer=recognizer,
        clips=torch.randn(2, 1, 3, 16, 32, 32),
        recurrence_report=recurrence_report,
    )


def _of_the_guide(names):
    assert [len(values) for values in names['accuracy'].values()] == [1, 1, 3]
    assert 'weight change, 1.conv1' in names['printed']


def _a_stock_config_made_recurrent(names):
    cfg = names['cfg']
    cfg.model.head.loss = dict(type='KaizenLoss')
    init_default_scope('mmpretrain')
    classifier = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        assert len(classifier.extract_feat(torch.zeros(1, 3, 224, 224))) == 3
    assert cfg.load_from == 'the stock model.pth'


def _backbone_and_head(names):
    from mmaction.registry import MODELS

    head = MODELS.build(names['cls_head'])
    with torch.no_grad():
        iterates = names['backbone'](torch.zeros(1, 3, 8, 224, 224))
    assert len(iterates) == 3 and head(iterates).shape == (1, 101)


def _mmaction(folder, files):
    init_default_scope('mmaction')
    return {}


def _child(names):
    cfg = names['cfg']
    assert cfg.model.backbone.num_iterations == 2 and cfg.model.cls_head.loss_cls.kaizen_weight == 0.2
    assert cfg.phase_one.train_cfg.max_epochs == 10 and cfg.phase_one.model.backbone.num_iterations == 1
    assert cfg.train_cfg.max_epochs == 5


def _phase_one(names):
    one = phase_one_config(names['cfg'], 'somewhere')
    assert one.train_cfg.max_epochs == 40 and one.model.backbone.num_iterations == 1


def _another_start(names):
    one = phase_one_config(names['cfg'], 'somewhere')
    assert one.load_from == 'checkpoint of the plain network.pth' and one.default_hooks.checkpoint_check.new_classifier


def _exported(names):
    assert names['logits_3'].shape == (5, 20)
    with torch.no_grad():
        x = torch.randn(2, 3, 64, 64)
        for exported, iterate in zip(names['program'](x), names['net'].forward_iterates(x)):
            torch.testing.assert_close(exported, iterate, rtol=1e-5, atol=1e-5)


def _counted(names):
    assert 'baddbmm' in names['printed']


def _predicted(names):
    assert (
        len(re.findall(r'clip.mp4 \d \[\(.class \d', names['printed'])) == 3
        and 'folder no such file' in names['printed']
    )


def _recurrent_resnet18(folder, files):
    images = torch.randn(2, 3, 64, 64)
    return dict(
        images=images,
        net=RecurrentNetwork(
            timm.create_model('resnet18', num_classes=4),
            'layer4.1',
            dynamic='conv1',
            feedback='bn2',
            example_input=images,
            pool_kernel=2,
        ).eval(),
    )


def _small_recognizer(folder, files):
    init_default_scope('mmaction')
    model = video_config().model
    model.backbone.units = (1, 1, 1, 2)
    from kaizen_mm.inference.grad_cam import iterate_layer

    return dict(recognizer=MODELS.build(model).eval(), data=batch(1, (16, 32, 32), (1,)), iterate_layer=iterate_layer)


def _drawn(names):
    assert Path('grad_cam.png').exists() and len(names['accuracy']['recurrent']) == 3


def _timm_phase_one(folder, files):
    random = np.random.default_rng(0)
    for split, images in (('train', 4), ('val', 1)):
        for label in range(20):
            (folder / 'data/tiny-imagenet-20' / split / f'class_{label:02d}').mkdir(parents=True)
            for i in range(images):
                Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
                    folder / 'data/tiny-imagenet-20' / split / f'class_{label:02d}' / f'{i}.png'
                )
    plain = timm.create_model('mfnet2d_n9', num_classes=20)
    (folder / 'output/phase_one').mkdir(parents=True)
    torch.save(dict(state_dict=plain.state_dict()), folder / 'output/phase_one/last.pth.tar')
    return {}


def _timm_phase_two(names):
    saved, plain = torch.load('phase_two.pth'), torch.load('output/phase_one/last.pth.tar')['state_dict']
    for name in ('conv_i1', 'conv_i2'):
        assert torch.equal(saved[f'conv5.B02.{name}.conv.weight'], plain[f'conv5.B02.{name}.conv.weight'])
    assert not torch.equal(saved['classifier.weight'], plain['classifier.weight'])
    assert names['right'].shape == (3,) and names['change'].shape == (2,) and (names['change'] > 0).all()


def _scores(names):
    assert names['sample'].iterate_scores.shape == (3, 4)


def _a_line_a_window(names):
    lines = names['printed'].splitlines()
    assert len(lines) == 2 and lines[0].endswith(' 3 True') and 'class ' in lines[0]


def _files(folder, files):
    return dict(files)


def make_files(folder: Path, clip: Path, photo: Path) -> dict:
    """Configs and checkpoints, a clip and a photo, by the names of the page on predicting."""
    found = dict(clip=str(clip), photo=str(photo))
    for kind, cfg, classes in (('video', video_config(), 8), ('image', image_config(), 4)):
        cfg.dump(folder / f'{kind}.py')
        found[f'{kind}_config'] = str(folder / f'{kind}.py')
        found[f'{kind}_checkpoint'] = save(cfg, folder / f'{kind}.pth', [f'class {i}' for i in range(classes)])
    return found


def _contributed_config(names):
    cfg = names['cfg']
    assert cfg.model.backbone.num_iterations == 2 and cfg.train_cfg.max_epochs == 10 and cfg.phase_one is not None


def _trained_from_the_start(names):
    assert names['accuracy'](names['net'], names['batches']).shape == (2,)
    assert Path('work/net.pth').is_file() and 'block=[' in names['printed']


def _both_phases(names):
    assert names['accuracy'](names['net'], names['batches']).shape == (3,)
    layer = 'layer3.0.conv1.weight'
    assert torch.equal(names['net'].state_dict()[layer], names['plain'].state_dict()[layer])
    assert Path('work/phase_one.pth').is_file() and Path('work/phase_two.pth').is_file()


def _comparator(names):
    net = names['TiedConv'](num_classes=5, input_size=16)
    x = torch.randn(2, 3, 16, 16)
    assert [tuple(y.shape) for y in net.forward_iterates(x)] == [(2, 5)] * 3 and net(x).shape == (2, 5)


CASES: List[Case] = [
    Case('CONTRIBUTING.md', 'TiedConv', check=_comparator),
    Case('CONTRIBUTING.md', '_base_', base='', check=_contributed_config),
    Case('README.md', 'kaizen_mfnet3d_n9', check=_two_samples(101)),
    Case('README.md', 'written_weights', after='kaizen_mm.recurrent(', check=_scores_of_ten),
    Case('README.md', 'recurrence_report', check=_a_recurrence_at_work, seeds=(0, 1)),
    Case('docs/quick_start.md', 'kaizen_mfnet2d_n9', check=_two_samples(10)),
    Case('docs/timm.md', 'kaizen_mfnet3d_n9', check=_two_samples(101)),
    Case(
        'docs/timm.md',
        'create_loader',
        _timm_phase_one,
        {'epochs, size = 10,': 'epochs, size = 1,'},
        check=_timm_phase_two,
    ),
    Case('docs/without_openmmlab.md', "'work/net.pth'", check=_trained_from_the_start),
    Case('docs/without_openmmlab.md', "'work/phase_one.pth'", check=_both_phases),
    Case('docs/without_openmmlab.md', 'LightningModule', elsewhere='tests/recipes/test_trainers.py'),
    Case('docs/without_openmmlab.md', 'TrainingArguments', elsewhere='tests/recipes/test_trainers.py'),
    Case('docs/any_network.md', 'net.forward_iterates(images)', _resnet18, check=_iterates),
    Case(
        'docs/any_network.md',
        'load_digits',
        replaced={'slice(1200, None), 30': 'slice(1200, None), 2'},
        check=_of_the_guide,
    ),
    Case('docs/choosing.md', "'layer4.1'", _resnet18, check=_iterates),
    Case('docs/choosing.md', "['layer3', 'layer4']", _resnet18, check=_iterates),
    Case('docs/any_network.md', 'iterate_scores(classifier', _classifier_and_recognizer),
    Case(
        'docs/any_network.md',
        'the stock model.pth',
        base='mmpretrain::resnet/resnet18_8xb32_in1k.py',
        check=_a_stock_config_made_recurrent,
    ),
    Case(
        'docs/any_network.md', 'cls_head = dict(\n', _mmaction, after='backbone.layer4[-1] =', check=_backbone_and_head
    ),
    Case('docs/any_network.md', 'backbone.layer4[-1] =', _mmaction),
    Case('docs/configs.md', 'max_epochs=40', base='kaizen_mfnet_list.py', check=_phase_one),
    Case('docs/configs.md', "_base_ = 'configs/", base='', check=_child),
    Case('docs/videos.md', 'new_classifier', base='kaizen_mfnet_list.py', check=_another_start),
    Case('docs/exporting.md', 'export_network', check=_exported),
    Case('docs/exporting.md', 'FlopCountAnalysis', check=_counted),
    Case(
        'docs/grad_cam.md',
        "iterate_layer(net, 'layer4.1.bn2'",
        _recurrent_resnet18,
        check=lambda names: _shape(names['maps'], (2, 64, 64)),
    ),
    Case(
        'docs/grad_cam.md',
        'ClipGradCAM',
        _small_recognizer,
        check=lambda names: _shape(names['pictures'], (1, 16, 32, 32, 3)),
    ),
    Case(
        'docs/grad_cam.md',
        'load_digits',
        replaced={'epochs = 15': 'epochs = 1', 'torch.randperm(1200)': 'torch.randperm(200)'},
        check=_drawn,
    ),
    Case(
        'docs/predicting.md',
        'ConfigPredictor',
        _files,
        {
            'configs/kaizen_mfnet_list.py': 'video_config',
            'work_dirs/kaizen_mfnet_list/epoch_20.pth': 'video_checkpoint',
        },
        check=_predicted,
    ),
    Case(
        'docs/streams.md',
        'StreamPredictor',
        _files,
        {
            'configs/kaizen_mfnet_list.py': 'video_config',
            'work_dirs/kaizen_mfnet_list/epoch_20.pth': 'video_checkpoint',
            'long.mp4': 'clip',
        },
        check=_a_line_a_window,
    ),
    Case('docs/predicting.md', 'MMAction2Inferencer', _files),
    Case('docs/predicting.md', 'ImageClassificationInferencer', _files, check=_scores),
]


def _shape(array, shape):
    assert array.shape == shape


def config_of(base: str, text: str, folder: Path) -> Config:
    """The config that a block is, or is a part of."""
    (folder / 'configs').symlink_to(ROOT / 'configs')
    if base:
        text = f"_base_ = '{base if ':' in base else 'configs/' + base}'\n{text}"
    (folder / 'mine.py').write_text(text)
    return Config.fromfile(folder / 'mine.py')
