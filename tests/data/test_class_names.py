"""Names of classes from files."""

import pytest

from kaizen_mm.data.class_names import check_same_classes, names_beside, names_of_folders, read_class_names


def test_one_name_a_line_with_spaces_and_any_letters(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_bytes('\ufeffno fight\r\nBoxkampf, Prügelei \n\n'.encode())
    assert read_class_names(path) == ['no fight', 'Boxkampf, Prügelei']
    assert read_class_names(path, 2) == read_class_names(path)


@pytest.mark.parametrize(
    'content, message',
    [
        (b'', 'one class name a line, line 1 is empty'),
        (b'a\n\nb\n', 'line 2 is empty'),
        (b'a\nb\n', 'names.txt names 2 classes, but there are 3'),
        (b'a\nb\na\n', "has 'a' in line 1 and in line 3"),
        (b'\xff\xfe\x00', 'names.txt is no UTF-8 text'),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / 'names.txt').write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_class_names(tmp_path / 'names.txt', 3)


def test_names_beside_a_list(tmp_path):
    assert names_beside(tmp_path / 'train.txt') is None
    (tmp_path / 'classes.txt').write_text('a\nb\n')
    assert names_beside(tmp_path / 'train.txt', 2) == ['a', 'b']


@pytest.mark.parametrize(
    'content, expected',
    [
        (None, ['n01', 'n02']),
        ('n02\tgoldfish, carp\nn09\tcat\nn01\tviaduct\n', ['viaduct', 'goldfish, carp']),
        ('n02\tgoldfish\n', ['n01', 'goldfish']),
        ('viaduct\ngoldfish\n', ['viaduct', 'goldfish']),
        ('n02\nn01\nn00\n', ['n01', 'n02']),  # the folders in another order are no other names
    ],
)
def test_names_of_folders(tmp_path, content, expected):
    if content is not None:
        (tmp_path / 'classes.txt').write_text(content)
    assert names_of_folders(tmp_path, ['n01', 'n02']) == expected


def test_another_number_of_names_than_folders(tmp_path):
    (tmp_path / 'classes.txt').write_text('a\nb\nc\n')
    with pytest.raises(ValueError, match='names 3 classes, but there are 2'):
        names_of_folders(tmp_path, ['n01', 'n02'])


def test_of_another_number_of_classes_those_on_one_side_are_named():
    with pytest.raises(ValueError, match="Only in train: 'b'. Only in val: 'x', 'y'. The classes must be"):
        check_same_classes(dict(folders=['a', 'b']), dict(folders=['a', 'x', 'y']), 'train', 'val')
