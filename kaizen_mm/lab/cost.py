"""What the networks of a table cost: multiply-adds of one sample, and samples a second."""

import time
from pathlib import Path
from typing import Callable

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from kaizen_mm.arguments import check_int
from kaizen_mm.lab.counting import multiply_adds
from kaizen_mm.lab.table import Table


def cost(cfg: Config, batch_size: int = 64, repeats: int = 3) -> dict:
    """Multiply-adds and speed of a config's network, on the first samples of its test data.

    The speed is that of whole training and test steps of the model on the CPU, without loading data; the best of a few
    repeats. It is measured by the CPU time of the process, so that other work on the machine matters little. With one
    thread it is that of one core.

    Args:
        batch_size: Samples of a step. Default 64.
        repeats: Steps that are timed, after one that is not. Default 3.

    Returns:
        ``{"multiply_adds", "images_per_second": {"training", "inference"}}``; multiply-adds are those of a forward pass
        of one sample.

    Raises:
        ValueError: ``batch_size`` or ``repeats`` is no int >= 1.
    """
    check_int('batch_size', batch_size)
    check_int('repeats', repeats)
    init_default_scope(cfg.default_scope)
    loader = dict(cfg.test_dataloader, batch_size=batch_size, num_workers=0, persistent_workers=False)
    data = next(iter(Runner.build_dataloader(loader, seed=0)))
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    model.train()
    training = _seconds(lambda: model.train_step(data, optimizer), repeats)
    model.eval()
    with torch.no_grad():
        inference = _seconds(lambda: model.test_step(data), repeats)
        one = model.data_preprocessor(data, False)['inputs'][:1]
        counted = multiply_adds(lambda: model(one, mode='tensor'))
    count = len(data['data_samples'])
    return dict(multiply_adds=counted, images_per_second=dict(training=count / training, inference=count / inference))


def _seconds(step: Callable[[], object], repeats: int) -> float:
    step()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return min(times)


def add_costs(rows: dict, table: Table, configs: Path) -> None:
    """Adds :func:`cost` to every row of :func:`~kaizen_mm.lab.reproduce.summary`, in place, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, row in rows.items():
            source, changes = table.variants.get(name, (name, {}))
            cfg = Config.fromfile(configs / f'{source}.py')
            cfg.merge_from_dict(changes)
            row.update(cost(cfg))
    finally:
        torch.set_num_threads(threads)
