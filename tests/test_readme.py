"""The Python of the README runs."""
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from PIL import Image

import kaizen_mm  # noqa: F401  registers the names

README = Path(__file__).resolve().parents[1] / 'README.md'


def blocks():
    """The README's Python: what shows a recurrence at work, both phases in plain PyTorch, and the rest in one."""
    code = re.findall(r'```python\n(.*?)```', README.read_text(), flags=re.DOTALL)
    two_phases = [c for c in code if 'create_loader' in c]
    at_work = [c for c in code if 'recurrence_report' in c]
    assert len(two_phases) == len(at_work) == 1
    return at_work[0], two_phases[0], '\n'.join(c for c in code if c not in two_phases + at_work)


@pytest.mark.parametrize('seed', [0, 1])
def test_the_first_example_shows_a_recurrence_at_work(capsys, seed):
    torch.manual_seed(seed)
    names = {}
    exec(blocks()[0], names)
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


def test_the_code_of_the_readme_runs():
    init_default_scope('mmaction')
    names = {}
    exec(blocks()[2], names)
    assert torch.isfinite(names['loss']) and names['scores'].shape == (2, 101)
    head = MODELS.build(names['cls_head'])
    with torch.no_grad():
        iterates = names['backbone'](torch.zeros(1, 3, 8, 224, 224))
    assert len(iterates) == 3 and head(iterates).shape == (1, 101)


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
    code = blocks()[1]
    assert 'epochs, size = 10,' in code
    names = {}
    exec(code.replace('epochs, size = 10,', 'epochs, size = 1,'), names)
    saved = torch.load('phase_two.pth')
    frozen = [f'conv5.B02.{name}.conv.weight' for name in ('conv_i1', 'conv_i2')]
    for name in frozen:
        assert torch.equal(saved[name], plain.state_dict()[name])
    assert not torch.equal(saved['classifier.weight'], plain.state_dict()['classifier.weight'])
    assert names['right'].shape == (3, ) and names['change'].shape == (2, ) and (names['change'] > 0).all()


def test_files_that_the_readme_names_exist():
    root = README.parent
    for path in re.findall(r'\b(?:configs|tools|docs|results)/[\w./-]+\.(?:py|sh|md|json|png)', README.read_text()):
        assert (root / path).exists(), path


def test_the_example_of_the_guide_runs(capsys):
    code = [c for c in re.findall(r'```python\n(.*?)```', (README.parent / 'docs/any_network.md').read_text(), flags=re.DOTALL)
            if 'load_digits' in c]
    assert len(code) == 1 and 'epochs = slice(0, 1200), slice(1200, None), 30' in code[0]
    names = {}
    exec(code[0].replace('slice(1200, None), 30', 'slice(1200, None), 2'), names)
    assert [len(values) for values in names['accuracy'].values()] == [1, 1, 3]
    assert 'weight change, 1.conv1' in capsys.readouterr().out
