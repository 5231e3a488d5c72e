"""A warm Python and a reader's folder, made once."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.docs import programs, world
from tests.docs.warm_python import write_clients


@pytest.fixture(scope='session')
def warm(tmp_path_factory):
    """Folder of programs that run without the seconds of their imports."""
    folder = tmp_path_factory.mktemp('warm')
    address = str(folder / 'socket')
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')
    with (folder / 'log.txt').open('w') as log:
        server = subprocess.Popen(
            [sys.executable, '-m', 'tests.docs.warm_python', address],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    ready = server.stdout.readline()
    assert ready == b'ready\n', (folder / 'log.txt').read_text()
    write_clients(folder / 'bin', [*programs.PROGRAMS, *programs.SCRIPTS], address)
    yield folder / 'bin'
    server.stdin.close()
    server.wait()


@pytest.fixture(scope='session')
def reader(tmp_path_factory):
    """A folder with tiny data under the names of the pages; to be copied."""
    folder = tmp_path_factory.mktemp('reader') / 'home'
    folder.mkdir()
    world.make(folder)
    return folder
