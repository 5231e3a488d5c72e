"""Memory that a network on a CPU frees and asks for again.

glibc gives large blocks back to the system when they are freed, and the system clears each page anew when they are
asked for again. A network that makes the same large maps over and over pays for that in every pass.
"""

import ctypes
import os

SWITCH = 'KAIZEN_KEEP_MEMORY'
# mallopt(3): the parameter's number in glibc's malloc.h, and bytes
_SETTINGS = {
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: the top of the heap is not given back below this
    -2: 64 * 2**20,  # M_TOP_PAD: the heap grows by this much more than is asked for
    -3: 2**30,  # M_MMAP_THRESHOLD: smaller blocks come of the heap
}


def keep_freed_memory() -> bool:
    """Lets glibc keep what this process frees, for its next allocation; children that are forked have it as well.

    Nothing is changed where the C library is another one, where the environment sets glibc's own variables
    (``MALLOC_*``, ``GLIBC_TUNABLES``), or where ``KAIZEN_KEEP_MEMORY=0`` switches it off.

    Returns:
        Whether it was set.
    """
    own = [name for name in os.environ if name.startswith('MALLOC_') or name == 'GLIBC_TUNABLES']
    if own or os.environ.get(SWITCH) == '0':
        return False
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return False
    if not hasattr(library, 'gnu_get_libc_version'):
        return False
    return all(library.mallopt(parameter, value) for parameter, value in _SETTINGS.items())
