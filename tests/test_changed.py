"""``make check`` finds the tests of what has changed."""

import subprocess

import pytest

from tests import changed
from tests.conftest import ROOT

PACKAGE = [
    str(path.relative_to(ROOT)) for path in sorted((ROOT / 'kaizen_mm').rglob('*.py')) if '.mim' not in str(path)
]
ALWAYS = set(changed.OTHERS['kaizen_mm/'])


@pytest.mark.parametrize(
    'path, tests',
    [
        ('kaizen_mm/losses/kaizen_loss.py', 'tests/losses/test_kaizen_loss.py'),  # by the name of its room
        ('kaizen_mm/layers/recurrent_block.py', 'tests/layers/test_recurrent_block_ways.py'),
        ('kaizen_mm/surgery/span.py', 'tests/surgery/test_span.py'),
        ('kaizen_mm/files.py', 'tests/test_files.py'),
        ('tests/layers/reference.py', 'tests/layers/test_recurrent_block.py'),
        ('tests/test_files.py', 'tests/test_files.py'),
        ('docs/index.md', 'tests/docs/test_pages.py'),
        ('kaizen_mm/layers/of_the_past.py', 'tests/test_rooms.py'),
    ],
)
def test_what_has_changed_has_its_tests(path, tests):
    assert tests in changed.tests_of([path])


def test_other_tests_are_left_out():
    assert 'tests/test_files.py' not in changed.tests_of(['kaizen_mm/losses/kaizen_loss.py'])
    assert changed.tests_of([]) == changed.tests_of(['LICENSE', 'tests/test_of_the_past.py']) == []


def test_almost_all_modules_have_tests_of_their_own():
    without = [path for path in PACKAGE if not set(changed.tests_of([path])) - ALWAYS]
    assert len(without) < 0.2 * len(PACKAGE), without


def test_changes_are_those_since_the_common_commit(tmp_path, monkeypatch):
    def git(*words):
        identity = ['-c', 'user.name=a', '-c', 'user.email=a@b']
        subprocess.run(['git', *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(changed, 'ROOT', tmp_path)
    git('init', '-q', '-b', 'main')
    for name in ('old.py', 'committed.py', 'edited.py'):
        (tmp_path / name).touch()
    git('add', 'old.py', 'edited.py')
    git('commit', '-qm', 'shared')
    assert changed.changed_files() == ['committed.py'], 'without a remote: since the last commit'
    git('update-ref', 'refs/remotes/origin/main', 'HEAD')
    git('add', 'committed.py')
    git('commit', '-qm', 'mine')
    (tmp_path / 'edited.py').write_text('1')
    (tmp_path / 'new.py').touch()
    assert changed.changed_files() == ['committed.py', 'edited.py', 'new.py']
