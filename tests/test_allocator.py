"""What glibc keeps is counted by the page faults of a process of its own."""

import ctypes
import os
import subprocess
import sys

import pytest

from kaizen_mm.allocator import SWITCH

BLOCKS, BLOCK = 10, 64 * 2**20
PROGRAM = f"""
import ctypes, resource
from kaizen_mm.allocator import keep_freed_memory
print(keep_freed_memory())
libc = ctypes.CDLL(None)
libc.prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of one size
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({BLOCKS}):
    block = libc.malloc({BLOCK})
    libc.memset(block, 1, {BLOCK})
    libc.free(block)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize())
"""

COMMAND = """
import contextlib
from kaizen_mm.commands.predict import main
with contextlib.redirect_stdout(None), contextlib.suppress(SystemExit):
    main(['--help'])
"""

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), 'gnu_get_libc_version'), reason='the C library is not glibc'
)


def environment_without_settings() -> dict:
    settings = (SWITCH, 'MALLOC_', 'GLIBC_TUNABLES')
    return {key: value for key, value in os.environ.items() if not key.startswith(settings)}


def kept_and_faulted(**environment) -> tuple:
    """What the function returns, and the bytes whose pages were asked for."""
    run = [sys.executable, '-c', PROGRAM]
    kept, faulted = subprocess.run(
        run, env={**environment_without_settings(), **environment}, capture_output=True, text=True, check=True
    ).stdout.split()
    return kept == 'True', int(faulted)


def test_freed_blocks_are_used_again():
    kept, faulted = kept_and_faulted()
    assert kept
    assert faulted < 2 * BLOCK  # of ten blocks, one after the other


@pytest.mark.parametrize(
    'environment', [{SWITCH: '0'}, {'MALLOC_ARENA_MAX': '2'}, {'GLIBC_TUNABLES': 'glibc.malloc.arena_max=2'}]
)
def test_switched_off(environment):
    kept, faulted = kept_and_faulted(**environment)
    assert not kept
    assert faulted > BLOCKS * BLOCK / 2


def test_commands_keep_what_they_free():
    program = PROGRAM.replace('print(keep_freed_memory())', COMMAND)
    faulted = subprocess.run(
        [sys.executable, '-c', program], env=environment_without_settings(), capture_output=True, text=True, check=True
    ).stdout
    assert int(faulted) < 2 * BLOCK
