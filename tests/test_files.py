"""Files written whole."""

import pytest

from kaizen_mm.files import whole_file, write_lines


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'folder' / 'a.txt'
    write_lines(path, ['one', 'two'])
    assert path.read_text() == 'one\ntwo\n'
    with pytest.raises(KeyboardInterrupt), whole_file(path) as part:
        part.write_text('half')
        raise KeyboardInterrupt
    assert path.read_text() == 'one\ntwo\n' and list(path.parent.iterdir()) == [path]
