"""The Python of README and docs runs, and the files that they name exist."""
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

import kaizen_mm  # noqa: F401  registers the names

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / 'README.md'
PAGES = [README, *sorted((ROOT / 'docs').glob('*.md'))]


def python_of(page: str, *words: str) -> str:
    """The Python blocks of a page with one of the words in them, as one text; there must be one for each word."""
    code = re.findall(r'```python\n(.*?)```', (ROOT / page).read_text(), flags=re.DOTALL)
    found = [block for word in words for block in code if word in block]
    assert len(found) == len(words), f'{page}: {len(found)} blocks with {words}'
    return '\n'.join(found)


@pytest.mark.parametrize('seed', [0, 1])
def test_the_first_example_shows_a_recurrence_at_work(capsys, seed):
    torch.manual_seed(seed)
    names = {}
    exec(python_of('README.md', 'recurrence_report'), names)
    printed = capsys.readouterr().out
    assert 'NOTHING' not in printed
    numbers = {line.partition(': ')[0]: [float(n) for n in re.findall(r'[\d.]+', line.partition(': ')[2])]
               for line in printed.splitlines() if ': ' in line}
    assert all(0.01 < change < 1 for change in numbers['weight change, layer4.1.conv1']), printed
    assert all(change > 0.02 for change in numbers['logit change']), printed
    shown = re.search(r'```\nmeans over(.*?)```', README.read_text(), flags=re.DOTALL)[1]
    for line in shown.strip().splitlines()[1:]:
        assert line.partition(':')[0] in numbers, 'the README shows what is printed'
    assert names['logits'].shape == (8, 20) and torch.isfinite(names['logits']).all()


@pytest.mark.parametrize('page, classes', [('README.md', 101), ('docs/quick_start.md', 10), ('docs/timm.md', 101)])
def test_a_backbone_of_timm(page, classes):
    names = {}
    exec(python_of(page, 'labels = torch.randn(2'), names)
    assert torch.isfinite(names['loss']) and names['scores'].shape == (2, classes)


def test_the_block_inside_a_recognizer():
    init_default_scope('mmaction')
    names = {}
    exec(python_of('docs/any_network.md', 'backbone.layer4[-1] =', 'cls_head = dict(\n'), names)
    head = MODELS.build(names['cls_head'])
    with torch.no_grad():
        iterates = names['backbone'](torch.zeros(1, 3, 8, 224, 224))
    assert len(iterates) == 3 and head(iterates).shape == (1, 101)


def test_a_config_of_one_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = tmp_path / 'mine.py'
    text = python_of('docs/configs.md', "_base_ = 'configs/")
    path.write_text(text.replace("'configs/", f"'{ROOT}/configs/"))
    cfg = Config.fromfile(path)
    assert cfg.model.backbone.num_iterations == 2 and cfg.model.cls_head.loss_cls.kaizen_weight == 0.2
    assert cfg.phase_one.train_cfg.max_epochs == 10 and cfg.phase_one.model.backbone.num_iterations == 1


def test_phase_two_in_plain_pytorch_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for split, images in (('train', 4), ('val', 1)):
        for label in range(20):
            folder = tmp_path / 'data' / 'tiny-imagenet-20' / split / f'class_{label:02d}'
            folder.mkdir(parents=True)
            for i in range(images):
                Image.fromarray(generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f'{i}.png')
    plain = timm.create_model('mfnet2d_n9', num_classes=20)
    Path('output/phase_one').mkdir(parents=True)
    torch.save(dict(state_dict=plain.state_dict()), 'output/phase_one/last.pth.tar')
    code = python_of('docs/timm.md', 'create_loader')
    assert 'epochs, size = 10,' in code
    names = {}
    exec(code.replace('epochs, size = 10,', 'epochs, size = 1,'), names)
    saved = torch.load('phase_two.pth')
    frozen = [f'conv5.B02.{name}.conv.weight' for name in ('conv_i1', 'conv_i2')]
    for name in frozen:
        assert torch.equal(saved[name], plain.state_dict()[name])
    assert not torch.equal(saved['classifier.weight'], plain.state_dict()['classifier.weight'])
    assert names['right'].shape == (3, ) and names['change'].shape == (2, ) and (names['change'] > 0).all()


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    for path in re.findall(r'(?<![\w/.])(?:configs|tools|docs|results)/[\w./-]+\.(?:py|sh|md|json|png|svg)', page.read_text()):
        assert (ROOT / path).exists() or path in ('configs/CONFIG.py', ), path


def test_the_example_of_the_guide_runs(capsys):
    code = python_of('docs/any_network.md', 'load_digits')
    assert 'epochs = slice(0, 1200), slice(1200, None), 30' in code
    names = {}
    exec(code.replace('slice(1200, None), 30', 'slice(1200, None), 2'), names)
    assert [len(values) for values in names['accuracy'].values()] == [1, 1, 3]
    assert 'weight change, 1.conv1' in capsys.readouterr().out


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_lines_wrap_at_100_columns(page):
    prose = re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)
    long = [line for line in prose.splitlines() if len(line) > 100 and not line.startswith(('|', '!['))]
    assert not long  # tables and pictures have lines of any length
