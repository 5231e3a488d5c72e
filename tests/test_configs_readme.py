"""The table of contents of the configs."""

import re
from pathlib import Path

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'


def opening_comment(path: Path) -> str:
    """The comment lines at the top of a config, as one."""
    lines = path.read_text().splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith('#'))
    return ' '.join(line[1:].strip() for line in lines[:end])


def test_every_config_is_in_the_table_once_with_its_opening_comment():
    paths = {path.relative_to(CONFIGS).as_posix(): path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts}
    text = (CONFIGS / 'README.md').read_text()
    rows = re.findall(r'^\| \[`([^`]+)`\]\(([^)]+)\) \| (.+) \|$', text, flags=re.MULTILINE)
    assert [name for name, _, _ in rows] == [target for _, target, _ in rows], 'the link is the name'
    names = [name for name, _, _ in rows]
    assert sorted(names) == sorted(paths), 'configs/README.md: one row for every config'
    wrong = [
        name for name, _, comment in rows if not opening_comment(paths[name]) or comment != opening_comment(paths[name])
    ]
    assert not wrong, f'configs/README.md: other words than the comments that open {wrong}'


def test_its_other_links_lead_somewhere():
    targets = re.findall(r'\]\((\.\./[^)]+)\)', (CONFIGS / 'README.md').read_text())
    assert targets and all((CONFIGS / target).is_file() for target in targets)
