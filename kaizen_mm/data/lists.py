"""Lists of files and labels: the one parser of them all.

A line is ``file label``. The label is the last field, an integer from 0; the file's name is what comes before it and
may hold spaces. Blank lines are passed over. The same file with two labels is an error, whichever way it is written.
"""

import posixpath
import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

FORM = '"file label" with a label >= 0'


class Entry(NamedTuple):
    """A line of a list."""

    line: int  # from 1
    file: str
    label: int


def read_list(content: bytes, source: str, num_classes: Optional[int] = None, delimiter: str = ' ') -> List[Entry]:
    """The entries of a list without faults.

    Args:
        content: The list, UTF-8.
        source: Its name for errors.
        num_classes: Labels must be below it; None leaves that unchecked.
        delimiter: What stands before the label. Default: any white space.

    Raises:
        ValueError: Lines are at fault, or there are none; each is named with file and line, up to five of them.
    """
    entries, faults = parse_list(content, num_classes, delimiter)
    if faults:
        first = [f'{source}:{line}: {fault}' for line, fault in sorted(faults.items())[:5]]
        more = f'; and {len(faults) - 5} more lines' if len(faults) > 5 else ''
        raise ValueError('; '.join(first) + more)
    if not entries:
        raise ValueError(f'{source} is empty; it must hold lines of {FORM}')
    return entries


def parse_list(
    content: bytes, num_classes: Optional[int] = None, delimiter: str = ' '
) -> Tuple[List[Entry], Dict[int, str]]:
    """The good lines of a list, and what is wrong with the others by their number; see :func:`read_list`."""
    entries, faults = [], {}
    for number, line in numbered_lines(content):
        try:
            entries.append(Entry(number, *parse_line(line, num_classes, delimiter)))
        except ValueError as error:
            faults[number] = str(error)
    for number, fault in two_labels(entries).items():
        faults[number] = fault
    return [entry for entry in entries if entry.line not in faults], faults


def numbered_lines(content: bytes) -> Iterable[Tuple[int, str]]:
    """Number, from 1, and text of each line that is not blank; bytes that are no UTF-8 are kept as surrogates."""
    text = content.decode('utf-8', 'surrogateescape').removeprefix('\ufeff')
    for number, line in enumerate(text.split('\n'), start=1):
        if line.strip():
            yield number, line.rstrip('\r')


def parse_line(line: str, num_classes: Optional[int] = None, delimiter: str = ' ') -> Tuple[str, int]:
    """File and label of a line.

    Raises:
        ValueError: It is no such line, or the label is out of range.
    """
    if re.search('[\ud800-\udfff]', line):
        raise ValueError(f'no UTF-8: {line.encode("utf-8", "surrogateescape")!r}')
    if delimiter == ' ':
        name, label = (line.strip().rsplit(None, 1) + [''])[:2]
    else:
        name, _, label = (part.strip() for part in line.rpartition(delimiter))
    if not name or not re.fullmatch('[0-9]+', label):
        raise ValueError(f'expected {FORM}, got {line!r}')
    if num_classes is not None and int(label) >= num_classes:
        raise ValueError(
            f'label {int(label)} of {name} is out of range; num_classes is {num_classes}, so labels go '
            f'from 0 to {num_classes - 1}'
        )
    return name, int(label)


def write_line(file: str, label: int) -> Optional[str]:
    """The line of a file and its label; None where no line can hold the file's name."""
    line = f'{file} {label}'
    try:
        return line if '\n' not in line and parse_line(line) == (file, label) else None
    except ValueError:
        return None


def two_labels(entries: Iterable[Entry]) -> Dict[int, str]:
    """What is wrong, by line, with files that have several labels."""
    faults = {}
    for same in same_files(entries):
        for entry in same:
            other = next((e for e in same if e.label != entry.label), None)
            if other:
                faults[entry.line] = (
                    f'label {entry.label} of {entry.file}, which has label {other.label} in line '
                    f'{other.line}; a file has one label'
                )
    return faults


def repeats(entries: Iterable[Entry]) -> Dict[int, int]:
    """Lines that repeat the file of an earlier one, and the number of that."""
    return {entry.line: same[0].line for same in same_files(entries) for entry in same[1:]}


def same_files(entries: Iterable[Entry]) -> List[List[Entry]]:
    """The entries by the file they name, ``./a.mp4`` being ``a.mp4``, in their order."""
    files = {}
    for entry in entries:
        files.setdefault(posixpath.normpath(entry.file), []).append(entry)
    return list(files.values())
