"""Text from outside, such as names of classes and of files, made safe for where it is shown.

A name can hold what a terminal obeys (escape sequences), what a spreadsheet computes (``=1+2``), what matplotlib sets
as mathematics (``$``), or bytes that are no text. Whoever shows a name takes it through the function of its sink;
pages of HTML are escaped by their templates, for which :func:`printable` leaves nothing but characters to be seen.
"""

import os
import re
from pathlib import Path
from typing import Union

# control characters (C0, DEL, C1), separators of lines, marks of the direction of text, halves of surrogate pairs
_HIDDEN = re.compile('[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_FORMULA = ('=', '+', '-', '@', '|', '%')


def printable(text: Union[str, Path], keep: str = '') -> str:
    r"""Text with an escape such as ``\x1b`` in place of each character that is obeyed rather than seen.

    Args:
        text: The text, or a path; a byte of a file's name that is no UTF-8 becomes an escape such as ``\xff``.
        keep: Characters that stay, such as line feeds of a message of several lines. Default none.
    """
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), os.fspath(text))


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file's name that is no UTF-8, see PEP 383
        number -= 0xDC00
    return f'\\x{number:02x}' if number < 0x100 else f'\\u{number:04x}'


def for_csv(text: Union[str, Path]) -> str:
    """:func:`printable` text that a spreadsheet takes for no formula: an apostrophe precedes one."""
    shown = printable(text)
    return f"'{shown}" if shown.lstrip(' ').startswith(_FORMULA) else shown


def for_json(content: str) -> str:
    r"""JSON that can be written as UTF-8: surrogates, of file names that are no UTF-8, are escapes such as ``\udcff``,
    which give the same name when they are read."""
    return re.sub('[\ud800-\udfff]', lambda found: f'\\u{ord(found[0]):04x}', content)


def for_figure(text: Union[str, Path]) -> str:
    """:func:`printable` text that matplotlib draws as it stands, dollar signs included."""
    return printable(text).replace('$', r'\$')
