"""The Python of the README runs."""
import re
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

README = Path(__file__).resolve().parents[1] / 'README.md'


def test_the_code_of_the_readme_runs():
    init_default_scope('mmaction')
    names = {}
    for code in re.findall(r'```python\n(.*?)```', README.read_text(), flags=re.DOTALL):
        exec(code, names)
    assert torch.isfinite(names['loss']) and names['scores'].shape == (2, 101)
    head = MODELS.build(names['cls_head'])
    with torch.no_grad():
        iterates = names['backbone'](torch.zeros(1, 3, 8, 224, 224))
    assert len(iterates) == 3 and head(iterates).shape == (1, 101)


def test_files_that_the_readme_names_exist():
    root = README.parent
    for path in re.findall(r'\b(?:configs|tools|docs)/[\w./-]+\.(?:py|sh|md)', README.read_text()):
        assert (root / path).exists(), path
