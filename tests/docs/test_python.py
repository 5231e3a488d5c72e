"""Every Python block of README and docs is run."""

import re
import shutil
import warnings

import matplotlib
import pytest
import torch
from mmengine.registry import DefaultScope

from tests.conftest import ROOT
from tests.docs.cases import CASES, Case, config_of, make_files
from tests.docs.pages import PAGES, blocks

BLOCKS = [block for page in PAGES for block in blocks(page, 'python')]


def case_of(block) -> Case:
    """The case of a block; one that runs as it is, where there is none."""
    found = [case for case in CASES if case.page == str(block.page) and case.words in block.text]
    assert len(found) <= 1, f'{block} is of the cases {[case.words for case in found]}'
    return found[0] if found else Case(str(block.page), '')


@pytest.mark.parametrize('case', CASES, ids=lambda case: f'{case.page}: {case.words[:20]}')
def test_a_case_is_of_one_block(case):
    assert len([block for block in BLOCKS if case_of(block) is case]) == 1


@pytest.fixture(scope='module')
def files(digits, image_folders, tmp_path_factory):
    return make_files(
        tmp_path_factory.mktemp('files'),
        digits / 'videos' / 'val_00000.mp4',
        image_folders / 'val' / 'class_0' / '0.png',
    )


@pytest.mark.parametrize('block', BLOCKS, ids=str)
def test_a_block_runs(block, files, tmp_path, monkeypatch, capsys):
    case, text = case_of(block), block.text
    if case.elsewhere:
        pytest.skip(f'{case.elsewhere} runs it')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DefaultScope, '_instance_dict', type(DefaultScope._instance_dict)())
    matplotlib.use('Agg')
    shutil.copy(files['clip'], 'clip.mp4')
    if case.base is not None:
        case.check(dict(cfg=config_of(case.base, text, tmp_path)))
        return
    for before, after in case.replaced.items():
        assert before in text
        text = text.replace(before, files.get(after, after))
    if case.after:
        text = next(b.text for b in blocks(block.page, 'python') if case.after in b.text) + text
    for seed in case.seeds:
        torch.manual_seed(seed)
        names = case.names(tmp_path, files)
        exec(compile(text, str(block), 'exec'), names)
        case.check(dict(names, printed=capsys.readouterr().out))


def test_the_block_of_the_readme_on_any_network_warns_of_nothing():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    (block,) = (code for code in re.findall(r'```python\n(.*?)```', text, re.DOTALL) if 'recurrence_report' in code)
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*W_1')
        exec(block, {})
