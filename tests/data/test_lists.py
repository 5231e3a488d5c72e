"""One parser for all lists."""

import pytest

from kaizen_mm.data.lists import Entry, parse_line, parse_list, read_list, repeats, write_line


def test_a_good_list():
    content = '\ufeffa.mp4 0\r\n\r\nsome clips/b  c.mp4\t12 \n  ü.mp4   1\n'.encode()
    assert read_list(content, 'l.txt') == [
        Entry(1, 'a.mp4', 0),
        Entry(3, 'some clips/b  c.mp4', 12),
        Entry(4, 'ü.mp4', 1),
    ]
    assert read_list(b'a b.mp4 , 3\n', 'l.txt', delimiter=',') == [Entry(1, 'a b.mp4', 3)]


@pytest.mark.parametrize(
    'line',
    ['a.mp4', '7', 'a.mp4 -1', 'a.mp4 +1', 'a.mp4 1.0', 'a.mp4 ²', 'a.mp4 \u0663', 'a.mp4 1_0', 'a.mp4 x', 'a.mp4,1'],
)
def test_lines_without_a_label(line):
    with pytest.raises(ValueError, match=r'l.txt:2: expected "file label" with a label >= 0, got '):
        read_list(f'b.mp4 0\n{line}\n'.encode(), 'l.txt')


def test_other_faults():
    with pytest.raises(ValueError, match='l.txt:1: label 3 of a b is out of range; num_classes is 3, .* 0 to 2'):
        read_list(b'a b 3', 'l.txt', num_classes=3)
    with pytest.raises(ValueError, match=r"l.txt:1: no UTF-8: b'\\xe9.mp4 0'"):
        read_list('é.mp4 0'.encode('latin-1'), 'l.txt')
    with pytest.raises(ValueError, match='l.txt is empty'):
        read_list(b'\n \n', 'l.txt')
    with pytest.raises(ValueError, match='l.txt:5: .*; and 3 more lines'):
        read_list(b'x\n' * 8, 'l.txt')


def test_one_file_has_one_label():
    entries, faults = parse_list(b'a 0\nb 1\n./a 1\nc//d 2\nc/d 2\na 0')
    assert entries == [Entry(2, 'b', 1), Entry(4, 'c//d', 2), Entry(5, 'c/d', 2)]
    assert faults[3] == 'label 1 of ./a, which has label 0 in line 1; a file has one label'
    assert sorted(faults) == [1, 3, 6] and 'label 1 in line 3' in faults[6]
    assert repeats(entries) == {5: 4}


def test_what_is_written_is_read():
    for name in ('a.mp4', 'a b  c.mp4', 'é', 'a\tb', '1 2'):
        assert parse_line(write_line(name, 3)) == (name, 3)
    for name in ('', ' a', 'a ', 'a\nb', 'a\udce9'):
        assert write_line(name, 0) is None
