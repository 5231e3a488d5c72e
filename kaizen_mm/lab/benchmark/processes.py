"""Steps of training in one and in two processes, with torch's DistributedDataParallel."""

import dataclasses
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from .cases import NETWORKS, chosen
from .conditions import Conditions
from .sides import loss_of
from .timing import Side, interleaved, summary


@dataclasses.dataclass(frozen=True)
class Job:
    """What every process of a measurement does, and the folder that they share."""

    case: str
    each: int
    world: int
    how: Conditions
    folder: str


def measure(how: Conditions, names: Sequence[str] | None = None, batch: int = 4) -> Iterable[dict[str, Any]]:
    """The records of one and of two processes: weak (``batch`` samples each) and strong (``batch`` in all).

    Args:
        how: Of it ``device``, ``'cpu'`` (gloo, one thread a process) or ``'cuda'`` (NCCL, one GPU a process; one
            process where there is one), ``rounds``, the steps that are timed, and ``quick``.
        names: Of cases; None for the smallest network.
        batch: Samples; even.

    Raises:
        ValueError: There is no such case.
        RuntimeError: A process fails; the message has its output.
    """
    enough = how.device == 'cpu' or torch.cuda.device_count() > 1
    batch = 2 if how.quick else batch
    names = names or ['mfnet3d_n9_112']
    for name, case in zip(names, chosen(NETWORKS, names)):
        for processes, each in ((1, batch), (2, batch), (2, batch // 2))[: 3 if enough else 1]:
            found = launch(name, each, processes, how)
            if processes == 1:
                alone = found['step_ms']['median']
            yield dict(
                case=case.title,
                processes=processes,
                samples_each=each,
                scaling='-' if processes == 1 else 'weak' if each == batch else 'strong',
                **found,
                efficiency=round(alone * each / batch / found['step_ms']['median'], 4),
            )


def launch(case: str, each: int, processes: int, how: Conditions) -> dict[str, Any]:
    """Starts the processes and gives what they find."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            multiprocessing.spawn(one_process, (Job(case, each, processes, how, folder),), processes)
        except (multiprocessing.ProcessRaisedException, multiprocessing.ProcessExitedException) as error:
            raise RuntimeError(f'a process of {processes} ended: {error}') from error
        return json.loads(Path(folder, 'found.json').read_text(encoding='utf-8'))


def one_process(rank: int, job: Job) -> None:
    """What every process does; that of rank 0 writes what was found."""
    torch.set_num_threads(1)
    cuda = job.how.device == 'cuda'
    store = Path(job.folder, 'store').as_uri()
    dist.init_process_group('nccl' if cuda else 'gloo', store, rank=rank, world_size=job.world)
    device = torch.device('cuda', rank) if cuda else torch.device('cpu')
    if cuda:
        torch.cuda.set_device(device)
    found = _timed(job, device)
    if rank == 0:
        Path(job.folder, 'found.json').write_text(json.dumps(found), encoding='utf-8')
    dist.destroy_process_group()


class _Training(nn.Module):
    """A network whose forward is the loss of all iterates."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network: Any = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return loss_of(self.network.forward_iterates(x))


def _timed(job: Job, device: torch.device) -> dict[str, Any]:
    torch.manual_seed(0)
    (case,) = chosen(NETWORKS, [job.case])
    _, network, shape = case.build(case.iterations)
    x = torch.randn(job.each, *shape, device=device)
    # buffers are not broadcast, as mmengine runs it
    ids = None if device.index is None else [device.index]
    wrapped = DistributedDataParallel(_Training(network).to(device), device_ids=ids, broadcast_buffers=False)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)

    def step():
        wrapped(x).backward()
        optimizer.step()

    def step_without_exchange():
        with wrapped.no_sync():
            step()

    def after():
        optimizer.zero_grad(set_to_none=True)
        dist.barrier()  # all begin the next one together

    sides = [Side('step', step, after), Side('alone', step_without_exchange, after)]
    times = interleaved(sides, 0, device.type, job.how.rounds)  # as many rounds in each process
    return dict(
        step_ms=summary([1e3 * seconds for seconds in times['step'].wall]),
        without_exchange_ms=summary([1e3 * seconds for seconds in times['alone'].wall]),
        gradient_bytes=sum(p.numel() * p.element_size() for p in trained),
    )
