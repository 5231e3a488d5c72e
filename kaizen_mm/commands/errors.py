"""What every command does: keep freed memory, and say what goes wrong in one line where it is said on purpose."""

import dis
import functools
import os
import sys
import warnings
from types import TracebackType
from typing import Any, Callable, Optional

from kaizen_mm.allocator import keep_freed_memory
from kaizen_mm.extras import MissingPart, naming_extras
from kaizen_mm.text import printable

_PACKAGES = ('kaizen_mm', 'mmengine', 'mmcv', 'mmaction', 'mmpretrain', 'timm')
_NAMED = (ValueError, TypeError, RuntimeError, ImportError, FloatingPointError)
VARIABLE = 'KAIZEN_TRACEBACK'
# of mmcv-lite, about a layer that no recognizer and no classifier has
_CONCERNS_NOBODY = 'Fail to import ``MultiScaleDeformableAttention``'


def command(main: Callable) -> Callable:
    """A command whose errors on purpose are one line on stderr, and exit status 2, where it is called from a shell.

    With arguments, as from Python, it raises, except where a part of the package is not installed.
    ``KAIZEN_TRACEBACK=1`` in the environment shows the stack always. The process keeps the memory that it frees
    (:func:`~kaizen_mm.allocator.keep_freed_memory`).

    Args:
        main: Takes the words of the command line, None for those of the process.
    """

    @functools.wraps(main)
    def run(argv=None) -> Any:
        keep_freed_memory()
        try:
            with naming_extras(), warnings.catch_warnings():
                warnings.filterwarnings('ignore', message=_CONCERNS_NOBODY)
                return main(argv)
        except Exception as error:
            shown = isinstance(error, MissingPart) or (argv is None and on_purpose(error))
            if not shown or os.environ.get(VARIABLE):
                raise
            print(f'error: {printable(_text(error), keep=chr(10))}', file=sys.stderr)
            raise SystemExit(2) from error

    return run


def on_purpose(error: BaseException) -> bool:
    """Whether code raised the error to tell of what it was given, or the system refused a file."""
    if isinstance(error, OSError):
        return True
    named = isinstance(error, _NAMED) and not isinstance(error, (UnicodeError, RecursionError, NotImplementedError))
    if not named and not (isinstance(error, KeyError) and 'registry' in str(error)):
        return False
    last: Optional[TracebackType] = error.__traceback__
    if last is None:
        return False
    while last.tb_next is not None:
        last = last.tb_next
    package = last.tb_frame.f_globals.get('__name__', '').partition('.')[0]
    # errors of C++ come up in a line of ours that raises nothing
    raises = dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == 'RAISE_VARARGS'
    return package in _PACKAGES and raises


def _text(error: BaseException) -> str:
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error) or type(error).__name__
