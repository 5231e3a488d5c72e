"""Calls in processes that may die or hang, with one bad file costing one file."""

import multiprocessing
import os
import re
import signal
import time
from multiprocessing.connection import wait

TIMEOUT = 300.0  # seconds for one call


def brief(error, limit=200):
    """First line of an error's message, at most `limit` characters, less the time and place that decord puts first."""
    lines = re.sub(r'^\[[0-9:]+\] \S+: ', '', str(error).strip()).splitlines()
    return (lines[0] if lines else type(error).__name__)[:limit]


def serve(connection, function):
    """Worker process: answer each received arguments tuple with a result."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends workers
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # codecs write to stderr
    connection.send(None)  # started
    while True:
        try:
            arguments = connection.recv()
        except EOFError:
            return
        try:
            answer = (function(*arguments), None)
        except ValueError as error:
            answer = (None, brief(error, 600))
        except Exception as error:
            answer = (None, f'{type(error).__name__}: {brief(error, 600)}')
        connection.send(answer)


def run_isolated(function, tasks, workers=None, timeout=TIMEOUT, method='forkserver'):
    """Call a function for each task in processes that are allowed to die.

    A call that ends its process (a crash in native code) or outlasts `timeout`
    is a failure of that task alone; a fresh process goes on with the rest.
    After a death the task is tried once more, since a decoder's threads may
    crash only when the next task is already at work.
    `concurrent.futures` would give up all pending tasks at the first death and
    cannot end a hanging call.

    Args:
        function (callable): Importable by name from a new process.
        tasks (sequence of tuple): Positional arguments of each call.
        workers (int, optional): Processes; default: the processors at hand.
        timeout (float): Seconds for one call.
        method (str): How processes start, where the system has it (else
            `spawn`). Only with `fork` may a script without a guard of its
            main part call this.

    Yields:
        tuple: (index of the task, result or None, reason or None) in the order
        in which the calls end; the reason is a str where the call failed.

    Raises:
        ValueError: `workers` or `timeout` is not positive.
        RuntimeError: A worker process cannot be started at all.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    if workers < 1:
        raise ValueError(f'workers must be at least 1, not {workers}')
    if timeout <= 0:
        raise ValueError(f'timeout must be positive seconds, not {timeout}')
    # The package is imported once, by the server that the workers fork from.
    known = method in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(method if known else 'spawn')
    if known and method == 'forkserver':
        context.set_forkserver_preload([function.__module__])
    waiting = list(reversed(range(len(tasks))))
    retried = set()
    running = {}  # connection -> [process, task or None, deadline]

    def start():
        connection, remote = context.Pipe()
        process = context.Process(target=serve, args=(remote, function), daemon=True)
        process.start()
        remote.close()
        running[connection] = [process, None, float('inf')]

    def stop(connection):
        process = running.pop(connection)[0]
        process.kill()
        process.join()
        connection.close()

    try:
        for _ in range(min(workers, len(tasks))):
            start()
        while running:
            # Every 0.5 s is often enough to look at deadlines.
            for connection in wait(list(running), 0.5):
                process, task, _ = running[connection]
                try:
                    answer = connection.recv()
                except (EOFError, ConnectionError):
                    process.join()
                    stop(connection)
                    if task is None:
                        raise RuntimeError(
                            'a worker process ended before its first task '
                            f'(exit code {process.exitcode}); scripts must '
                            "call this under `if __name__ == '__main__':`"
                        ) from None
                    again = task not in retried
                    if again:
                        retried.add(task)
                        waiting.append(task)
                    if waiting:
                        start()
                    if not again:
                        yield task, None, (f'the reading process died (exit code {process.exitcode})')
                    continue
                if waiting:
                    following = waiting.pop()
                    running[connection][1:] = (following, time.monotonic() + timeout)
                    try:
                        connection.send(tasks[following])
                    except ConnectionError:
                        pass  # it has died: the next `recv` says so
                else:
                    stop(connection)
                if task is not None:
                    yield task, *answer
            for connection, (_, task, deadline) in list(running.items()):
                if time.monotonic() > deadline:
                    stop(connection)
                    if waiting:
                        start()
                    yield task, None, f'no answer within {timeout:g} s'
    finally:
        for connection in list(running):
            stop(connection)
