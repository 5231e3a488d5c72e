"""Names of classes, from files of one name a line."""

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

CLASSES_FILE = 'classes.txt'


def read_class_names(path: str | Path, num_classes: Optional[int] = None) -> List[str]:
    """The names in a file, one a line, in the order of the labels.

    Args:
        path: The file, UTF-8.
        num_classes: How many there must be; None leaves that unchecked.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, no text, has an empty line between names, the same name twice, or names another number
            of classes.
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
    _check_distinct(names, path)
    return names


def _check_distinct(names: Sequence[str], path: str | Path) -> None:
    first: dict = {}
    for line, name in enumerate(names, start=1):
        if first.setdefault(name, line) != line:
            raise ValueError(
                f'{path} has {name!r} in line {first[name]} and in line {line}; classes must have names that tell them '
                f'apart, such as {name + " (2)"!r}'
            )


def names_beside(file: str | Path, num_classes: Optional[int] = None) -> Optional[List[str]]:
    """The names in the ``classes.txt`` beside a list of files and labels; None where there is none.

    Raises:
        ValueError: See :func:`read_class_names`.
    """
    path = Path(file).with_name(CLASSES_FILE)
    return read_class_names(path, num_classes) if path.is_file() else None


def is_hidden(path: str | Path) -> bool:
    """Whether a relative path leads into what other programs keep for themselves: hidden, or macOS's ``__MACOSX``."""
    return any(part.startswith('.') or part == '__MACOSX' for part in Path(path).parts if part not in ('.', '..'))


def class_folders(root: str | Path) -> List[str]:
    """The names of the folders in a folder that has one for each class, sorted.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    return sorted(path.name for path in Path(root).iterdir() if path.is_dir() and not is_hidden(path.name))


def one_sided(ours: Sequence[str], theirs: Sequence[str], our_source: str, their_source: str) -> str:
    """Which names are on one side only, as a sentence for each; empty where none is."""
    return '. '.join(
        f'Only in {source}: {_few([repr(name) for name in names if name not in others])}'
        for source, names, others in ((our_source, ours, set(theirs)), (their_source, theirs, set(ours)))
        if set(names) - others
    )


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


def names_from_labels(path: str | Path, num_classes: int, trained: Optional[Sequence[str]] = None) -> List[str]:
    """The names in a file for the classes of a trained network.

    Args:
        path: One name a line, in the order of the labels; or lines of the name that the network was trained with, tab,
            and the one to be shown, in any order.
        num_classes: How many the network has.
        trained: The names that it was trained with, where they are known.

    Raises:
        ValueError: See :func:`read_class_names`; or one name a line is not the name that the network was trained with.
    """
    lines = read_class_names(path)
    if not any('\t' in line for line in lines):
        names = read_class_names(path, num_classes)
        if trained is not None:
            check_same_classes(
                dict(classes=trained),
                dict(classes=names),
                'the network was trained with',
                str(path),
                'To show other names: lines of trained name, tab and name to be shown',
            )
        return names
    if trained is None:
        raise ValueError(
            f'{path} has lines of trained name, tab and name to be shown, but the network does not tell the names of '
            'its classes. It must hold one name a line, in the order of the labels'
        )
    shown = dict(line.split('\t', 1) for line in lines if '\t' in line)
    if not set(shown) & set(trained):
        raise ValueError(
            f'{path}: none of {_few(list(shown))} is a class of the network, which was trained with {_few(trained)}'
        )
    names = [shown.get(name, name).strip() for name in trained]
    _check_distinct(names, path)
    return names


def check_same_classes(
    ours: Optional[Mapping[str, Any]],
    theirs: Optional[Mapping[str, Any]],
    our_source: str,
    their_source: str,
    remedy: str = 'The classes must be the same, in the same order',
) -> None:
    """Compares the classes of two data sets, or of a network and a data set, label by label.

    Args:
        ours, theirs: What data sets say of themselves: ``classes``, the names by label, and ``folders`` where each
            class is a folder, whose name ``classes.txt`` may have exchanged. Where both have folders these are
            compared, or else the names; where one has neither, nothing is.
        our_source, their_source: What they are of, for the message.
        remedy: How the message ends.

    Raises:
        ValueError: They differ; both lists are shown where they do.
    """
    for key in ('folders', 'classes'):
        first, second = ((meta or {}).get(key) for meta in (ours, theirs))
        if not all(isinstance(names, (tuple, list)) and names for names in (first, second)):
            continue
        first, second = [str(name) for name in first], [str(name) for name in second]
        if first == second:
            return
        labels = [i for i in range(max(len(first), len(second))) if first[i : i + 1] != second[i : i + 1]]
        lists = [
            _few([f'{i} {names[i]!r}' if i < len(names) else f'{i} none' for i in labels]) for names in (first, second)
        ]
        alone = one_sided(first, second, our_source, their_source) if len(first) != len(second) else ''
        raise ValueError(
            f'classes differ at {len(labels)} of {max(len(first), len(second))} labels. {our_source}: {lists[0]}. '
            f'{their_source}: {lists[1]}. {alone}{". " if alone else ""}{remedy}'
        )


def _few(names: Sequence[str], most: int = 20) -> str:
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')
