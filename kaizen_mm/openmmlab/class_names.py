"""Names of classes of data sets, which checkpoints keep."""

import logging
from typing import Callable, List, Optional

from mmengine.logging import print_log


def names_or_warning(read: Callable[..., Optional[List[str]]], *args) -> Optional[List[str]]:
    """What a function of :mod:`kaizen_mm.data.class_names` reads; None with a warning where the file cannot be used.

    A training does not need them, so that this is no reason to stop it.
    """
    try:
        return read(*args)
    except ValueError as error:
        print_log(f'classes.txt is not used: {error}', logger='current', level=logging.WARNING)
        return None
