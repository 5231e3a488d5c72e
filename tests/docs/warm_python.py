"""A Python that has imported everything: programs run in copies of one process, without the seconds that imports take.

``python -m tests.docs.warm_python ADDRESS`` waits at a Unix socket until its input ends. What :func:`write_clients`
writes into a folder stands for ``python`` and other programs there: a client sends its words, folder, environment and
files 0, 1 and 2, and ends with the status that it is told.
"""

import json
import os
import select
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Iterable

_CLIENT = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b' '], [0, 1, 2])
server.sendall(json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(16) or 1))
"""


def write_clients(folder: Path, names: Iterable[str], address: str) -> None:
    """Writes programs of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(_CLIENT.format(python=sys.executable, address=address))
        (folder / name).chmod(0o755)


def _run(connection: socket.socket) -> int:
    """Becomes the program that a client asks for; returns its exit status."""
    from tests.docs.programs import run

    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    words, folder, environment = json.loads(b''.join(iter(lambda: connection.recv(1 << 16), b'')))
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable = str(Path(words[0]).with_name('python'))  # what the program starts is warm, too
    try:
        run(Path(words[0]).name, words[1:])
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main(address: str) -> None:
    for name in ('kaizen_mm', 'mmaction.models', 'mmpretrain.models', 'timm'):  # mmaction needs to be mended first
        import_module(name)
    import torch

    from tests.docs import small_world

    torch.set_num_threads(1)
    small_world.enter()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print('ready', flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                status = _run(connection)
                sys.stdout.flush()
                print(f'##### status {status}, {sum(os.times()[:4]):.1f} s of CPU time', file=sys.stderr, flush=True)
                connection.sendall(str(status).encode())
                os._exit(0)
            connection.close()


if __name__ == '__main__':
    main(sys.argv[1])
