"""What ``make newest`` installs, and how it reads what came of it."""

import pytest
from packaging.requirements import Requirement

from tests import newest


@pytest.mark.parametrize(
    'text, expected',
    [
        ('torch>=2.6,<2.16', 'torch>=2.6'),
        ('mmpretrain==1.2.0', 'mmpretrain>=1.2.0'),
        ('onnx>=1.23,!=1.24,<2; python_version < "3.14"', 'onnx!=1.24,>=1.23; python_version < "3.14"'),
        ('a~=1.0', 'a'),
        ('setuptools<82', 'setuptools<82'),
        ('mmcv_lite>=2.1.0,<2.2.0', 'mmcv_lite<2.2.0,>=2.1.0'),
    ],
)
def test_upper_bounds_are_taken_off(text, expected):
    assert newest.unbounded(text) == expected


def test_all_parts_are_installed_and_nothing_holds_them_back():
    found = newest.parts()
    assert next(iter(found)) == 'core' and found['core'] == ['torch>=2.6']
    assert {'timm', 'report', 'openmmlab', 'image', 'video', 'export', 'test'} <= set(found)
    for lift_all in (False, True):
        for text in (text for texts in newest.parts(lift_all).values() for text in texts):
            requirement = Requirement(text)
            assert requirement.name != 'kaizen-mm'
            upper = [s for s in requirement.specifier if s.operator in ('<', '<=', '==', '~=')]
            assert not upper or (requirement.name in newest.KEPT and not lift_all), text
    named = {Requirement(text).name for texts in newest.parts().values() for text in texts}
    assert set(newest.KEPT) <= named, 'what is kept is named somewhere'


def test_versions_beyond_the_bounds_are_told():
    lines = newest.beyond({'torchvision': '99.0', 'timm': '1.0.31', 'mmaction2': '1.3.0', 'unknown': '1'})
    assert [line.split()[:4] for line in lines] == [
        ['mmaction2', '1.3.0', 'is', 'beyond'],
        ['torchvision', '99.0', 'is', 'beyond'],
    ]


def test_the_core_has_no_upper_bound():
    assert not newest.beyond({'torch': '2.15.9'})
    assert [line.partition(' is')[0] for line in newest.beyond({'torch': '99.0'})] == ['torch 99.0']
    assert all(s.operator == '>=' for text in newest.project()['dependencies'] for s in Requirement(text).specifier)


PASSED = '....\n4 passed, 1 skipped in 3.20s\n'
FAILED = 'FAILED tests/a.py::b - ValueError: no\nERROR tests/c.py\n1 failed, 3 passed in 1.00s\n'
NO_CONFTEST = (
    "ImportError while loading conftest '/a/tests/conftest.py'.\nE   ModuleNotFoundError: No module named 'cv2'\n"
)


@pytest.mark.parametrize(
    'output, status, expected',
    [
        (PASSED, 0, 'a: ok, 4 passed, 1 skipped'),
        ('===== 4 passed, 2 warnings in 3.20s =====\n', 0, 'a: ok, 4 passed, 2 warnings'),
        (FAILED, 1, 'a: BREAKS, 1 failed, 3 passed; first: tests/a.py::b - ValueError: no'),
        (NO_CONFTEST, 4, "a: BREAKS, nothing was counted; first: ModuleNotFoundError: No module named 'cv2'"),
        ('', -9, 'a: BREAKS, nothing was counted; first: exit status -9'),
        ('no tests ran in 0.1s\n', 5, 'a: no quick tests'),
    ],
)
def test_a_line_for_a_part(output, status, expected):
    assert newest.verdict('a', output, status) == expected


def test_every_test_is_of_a_part():
    run = {newest.ROOT / path for part in newest.test_folders() for path in newest.paths_of(part)}
    there = set((newest.ROOT / 'tests').rglob('test_*.py'))
    left = {path for path in there if path not in run and not any(parent in run for parent in path.parents)}
    assert {path.relative_to(newest.ROOT / 'tests').parts[0] for path in left} == {'faults', 'docs'}
