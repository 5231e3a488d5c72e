"""Names of classes, from files of one name a line."""

from pathlib import Path
from typing import List, Optional, Sequence

CLASSES_FILE = 'classes.txt'


def read_class_names(path: str | Path, num_classes: Optional[int] = None) -> List[str]:
    """The names in a file, one a line, in the order of the labels.

    Args:
        path: The file, UTF-8.
        num_classes: How many there must be; None leaves that unchecked.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, no text, has an empty line between names, or names another number of classes.
    """
    try:
        names = [line.strip() for line in Path(path).read_text(encoding='utf-8-sig').rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no UTF-8 text: {error}; it must hold one class name a line') from error
    if not names or not all(names):
        raise ValueError(f'{path} must hold one class name a line, line {names.index("") + 1 if names else 1} is empty')
    if num_classes is not None and len(names) != num_classes:
        raise ValueError(
            f'{path} names {len(names)} classes, but there are {num_classes}; it must hold one name a line, '
            'in the order of the labels'
        )
    return names


def names_beside(file: str | Path, num_classes: Optional[int] = None) -> Optional[List[str]]:
    """The names in the ``classes.txt`` beside a list of files and labels; None where there is none.

    Raises:
        ValueError: See :func:`read_class_names`.
    """
    path = Path(file).with_name(CLASSES_FILE)
    return read_class_names(path, num_classes) if path.is_file() else None


def names_of_folders(root: str | Path, folders: Sequence[str]) -> List[str]:
    """The names of classes that have a folder each.

    They are the folders' own, unless ``classes.txt`` in ``root`` gives others: in lines of folder, tab and name, or in
    one name a line, in the order of the sorted folders.

    Raises:
        ValueError: ``classes.txt`` is in the second form and names another number of classes.
    """
    path = Path(root, CLASSES_FILE)
    if not path.is_file():
        return list(folders)
    lines = read_class_names(path)
    if any('\t' in line for line in lines):
        named = dict(line.split('\t', 1) for line in lines if '\t' in line)
        return [named.get(folder, folder).strip() for folder in folders]
    if set(folders) <= set(lines):
        return list(folders)
    return read_class_names(path, len(folders))
