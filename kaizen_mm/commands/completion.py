"""Completion of command lines in the shell, by argcomplete, where that is installed and a shell asks for it."""

import argparse
import os
from typing import List

from kaizen_mm.config_files import CONFIGS, PREFIX

ASKED = '_ARGCOMPLETE'  # in the environment, where a shell wants completions in place of a run


class CompletedParser(argparse.ArgumentParser):
    """A parser that a shell may ask how a word goes on; without argcomplete it is argparse's."""

    def parse_args(self, args=None, namespace=None):
        self._complete()
        return super().parse_args(args, namespace)

    def parse_intermixed_args(self, args=None, namespace=None):
        self._complete()
        return super().parse_intermixed_args(args, namespace)

    def _complete(self) -> None:
        if ASKED not in os.environ:
            return
        try:
            import argcomplete
        except ModuleNotFoundError:
            return
        for action in self._actions:
            if hasattr(action.type, 'completer'):
                action.completer = action.type.completer
        argcomplete.autocomplete(self)  # ends the process


def config_names(prefix: str, **others) -> List[str]:
    """Files that begin so, and configs of the package where ``kaizen_mm::`` has begun.

    Args:
        prefix: What has been typed of the word.
        others: What argcomplete tells besides.
    """
    from argcomplete.completers import FilesCompleter

    names = [f'{PREFIX}{path.relative_to(CONFIGS)}' for path in CONFIGS.rglob('*.py')] if prefix else []
    return sorted(name for name in names if name.startswith(prefix)) + list(FilesCompleter()(prefix))
