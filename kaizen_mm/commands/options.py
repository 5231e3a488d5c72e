"""``KEY=VALUE`` arguments: numbers, True, False, None, text, and lists and tuples of them.

They are read as mmengine's ``DictAction`` reads them, which the commands of OpenMMLab have; but text keeps its white
space, and what is no ``KEY=VALUE`` or has brackets that do not match is an error.
"""

import argparse
from typing import Any, List

_BRACKETS = {'(': ')', '[': ']'}


class KeyValues(argparse.Action):
    """Adds ``KEY=VALUE`` words to a dict."""

    def __call__(self, parser, namespace, values, option_string=None):
        options = dict(getattr(namespace, self.dest) or {})
        for word in values:
            key, equals, text = word.partition('=')
            if not key or not equals:
                raise argparse.ArgumentError(self, f'must be KEY=VALUE, got {word!r}')
            try:
                options[key] = read_value(text)
            except ValueError as error:
                raise argparse.ArgumentError(self, f'{key}: {error}') from error
        setattr(namespace, self.dest, options)


def read_value(text: str) -> Any:
    """The value that a text stands for: ``3``, ``1e-3``, ``True``, ``None``, ``a.mp4``, ``1,2``, ``[(1,2),a]``.

    Raises:
        ValueError: Brackets that do not match.
    """
    text = text.strip().strip('\'"')
    parts = _parts(text) if ',' in text or text[:1] in _BRACKETS else [text]
    if len(parts) > 1:
        return [read_value(part) for part in parts if part.strip()]
    if text[:1] in _BRACKETS and text[-1] == _BRACKETS[text[0]]:
        values = [read_value(part) for part in _parts(text[1:-1]) if part.strip()]
        return tuple(values) if text[0] == '(' else values
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {'true': True, 'false': False}.get(text.lower(), None if text == 'None' else text)


def _parts(text: str) -> List[str]:
    """A text cut at the commas that are in no brackets."""
    parts, closing = [''], []
    for character in text:
        if character in _BRACKETS:
            closing.append(_BRACKETS[character])
        elif character in _BRACKETS.values() and (not closing or closing.pop() != character):
            raise ValueError(f'brackets do not match in {text!r}')
        if character == ',' and not closing:
            parts.append('')
        else:
            parts[-1] += character
    if closing:
        raise ValueError(f'brackets do not match in {text!r}')
    return parts
