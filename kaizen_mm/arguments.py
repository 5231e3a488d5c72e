"""Checks of arguments: each error names the argument, what would be accepted and what was given."""

import math
from typing import Any, Optional, Sequence, Tuple


def is_int(value: Any) -> bool:
    """Whether a value is an int; True and False are none here."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a value is a finite int or float; True and False are none here."""
    return (is_int(value) or isinstance(value, float)) and math.isfinite(value)


def check_int(name: str, value: Any, low: int = 1, high: Optional[int] = None) -> None:
    """Raises ValueError unless ``value`` is an int from ``low`` to ``high`` (None: no bound)."""
    if not is_int(value) or value < low or (high is not None and value > high):
        wanted = (
            f'an int >= {low}'
            if high is None
            else f'{low} or {high}'
            if high == low + 1
            else f'an int from {low} to {high}'
        )
        raise ValueError(f'{name} must be {wanted}, got {value!r}')


def check_number(name: str, value: Any, low: float = 0, high: Optional[float] = None) -> None:
    """Raises ValueError unless ``value`` is a finite number from ``low`` to ``high`` (None: no bound)."""
    if not is_number(value) or value < low or (high is not None and value > high):
        wanted = f'a finite number >= {low}' if high is None else f'a number from {low} to {high}'
        raise ValueError(f'{name} must be {wanted}, got {value!r}')


def check_numbers(name: str, values: Any, what: str) -> None:
    """Raises ValueError unless ``values`` is a tuple or list of finite numbers >= 0; ``what`` says of what kind."""
    if not isinstance(values, (tuple, list)):
        raise ValueError(f'{name} must be a tuple or list of finite numbers >= 0, {what}, got {values!r}')
    for index, value in enumerate(values):
        check_number(f'{name}[{index}]', value)


def check_shape(name: str, value: Any, what: str, length: Optional[int] = None) -> Tuple[int, ...]:
    """``value`` as a tuple; raises ValueError unless it is ``length`` (None: one or more) ints >= 1."""
    if (
        not isinstance(value, (tuple, list))
        or not all(is_int(v) and v > 0 for v in value)
        or (len(value) != length if length is not None else not value)
    ):
        raise ValueError(f'{name} must be {"" if length is None else f"{length} "}positive ints, {what}, got {value!r}')
    return tuple(value)


def check_choice(name: str, value: Any, choices: Sequence) -> None:
    """Raises ValueError unless ``value`` is one of a few strings, or None where that is one of them."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        wanted = f'one of {tuple(choices)}' if len(choices) > 1 else repr(choices[0])
        raise ValueError(f'{name} must be {wanted}, got {value!r}')


def check_flag(name: str, value: Any) -> None:
    """Raises ValueError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f'{name} must be True or False, got {value!r}')


def check_text(name: str, value: Any, what: str) -> None:
    """Raises ValueError unless ``value`` is a string."""
    if not isinstance(value, str):
        raise ValueError(f'{name} must be {what}, got {value!r}')
