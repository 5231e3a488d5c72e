"""How many processes load data where a config does not say it."""

import os

MOST_WORKERS = 16  # of one process: each holds the program once more, and batches in advance


def default_workers() -> int:
    """Data workers of one process: the cores that it may use, shared with the other processes of ``torchrun`` on the
    machine.

    At least 1, so that a decoder that ends its process does not end the training without a message, and at most
    :data:`MOST_WORKERS`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min(cores // int(os.environ.get('LOCAL_WORLD_SIZE', '1')), MOST_WORKERS))
