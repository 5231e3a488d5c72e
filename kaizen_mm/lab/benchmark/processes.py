"""Steps of training in one and in several processes: time, bytes exchanged, and whether the result is the same.

torch's DistributedDataParallel under torchrun, without a broadcast of buffers, as mmengine runs it. ``python -m`` with
this module is one process of it.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import mfnet3d

from .networks import NETWORKS, QUICK_NETWORKS
from .timing import summary

_CLASSES = 101


def measure(device: str, quick: bool, batch: int = 4, steps: int = 6) -> Iterable[dict[str, Any]]:
    """The records of one and of two processes: weak (``batch`` clips each), strong (``batch`` clips in all), and
    whether the weights after a step are those of one process.

    Args:
        device: ``'cpu'`` (gloo, one thread a process) or ``'cuda'`` (NCCL, one GPU a process; one process where there
            is one).
        quick: A narrow network and two steps.
        batch: Clips; even.
        steps: Timed.

    Raises:
        RuntimeError: A process fails; the message has its output.
    """
    enough = device == 'cpu' or torch.cuda.device_count() > 1
    for processes, each in ((1, batch), (2, batch), (2, batch // 2))[: 3 if enough else 1]:
        found = _launch(processes, each, device, quick, 2 if quick else steps)
        kind = 'both' if processes == 1 else 'weak' if each == batch else 'strong'
        yield dict(processes=processes, clips_each=each, kind=kind, device=device, **found)


def _launch(processes: int, each: int, device: str, quick: bool, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'found.json')
        command = [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            f'--nproc-per-node={processes}',
            '-m',
            'kaizen_mm.lab.benchmark.processes',
            '--each',
            str(each),
            '--device',
            device,
            '--steps',
            str(steps),
            '--out',
            str(out),
            *(['--quick'] if quick else []),
        ]
        package = str(Path(__file__).resolve().parents[3])
        paths = os.pathsep.join([package, *filter(None, [os.environ.get('PYTHONPATH')])])
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=paths),
        )
        if ended.returncode:
            raise RuntimeError(f'{" ".join(command)} ended with {ended.returncode}: {ended.stderr[-2000:]}')
        return json.loads(out.read_text(encoding='utf-8'))


def one_process(args: argparse.Namespace) -> None:
    """What every process does; that of rank 0 writes what was found."""
    cuda = args.device == 'cuda'
    dist.init_process_group('nccl' if cuda else 'gloo')
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device('cuda', int(os.environ['LOCAL_RANK'])) if cuda else torch.device('cpu')
    if cuda:
        torch.cuda.set_device(device)
    difference = _difference_to_one_process(args, rank, world, device)
    found = _timed(args, rank, world, device)
    if rank == 0:
        args.out.write_text(json.dumps(dict(found, difference_to_one_process=difference)), encoding='utf-8')
    dist.destroy_process_group()


def _network(quick: bool, device) -> Any:
    torch.manual_seed(0)
    case = QUICK_NETWORKS['mfnet3d_narrow'] if quick else NETWORKS['mfnet3d_n9_112']
    arguments = case.kwargs if quick else dict(widths=(24, 48, 96, 192), units=(1, 3, 3, 2), groups=8)
    network = mfnet3d(num_classes=_CLASSES, num_iterations=3, input_size=case.size, **arguments)
    return _Training(network).to(device), case.size


class _Training(nn.Module):
    """A network whose forward is the loss of eq. 5."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network: Any = network
        self.loss = KaizenLoss()

    def forward(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.loss(self.network.forward_iterates(x), target)


def _data(clips: int, size, device, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(clips, 3, *size, generator=generator).to(device, dtype)
    return x, torch.arange(clips, device=device) % _CLASSES


def _wrapped(module: nn.Module, device, counter: dict[str, int]) -> DistributedDataParallel:
    wrapped = DistributedDataParallel(
        module, device_ids=[device.index] if device.type == 'cuda' else None, broadcast_buffers=False
    )

    def counted(state, bucket):
        counter['gradients'] += bucket.buffer().numel() * bucket.buffer().element_size()
        return default_hooks.allreduce_hook(None, bucket)

    wrapped.register_comm_hook(None, counted)
    return wrapped


def _difference_to_one_process(args, rank: int, world: int, device) -> float:
    """Largest difference of the weights after a step of SGD, in float64, relative to the largest change of a weight.

    Batch norm has the running statistics of evaluation, or the samples of the processes would not be seen together.
    """
    module, size = _network(args.quick, device)
    module = module.double().train()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
    x, target = _data(args.each * world, size, device, torch.float64)
    start = [p.detach().clone() for p in module.parameters()]
    mine = slice(rank * args.each, (rank + 1) * args.each)
    ends = []
    for run, part in ((_wrapped(module, device, dict(gradients=0)), mine), (module, slice(None))):
        with torch.no_grad():
            for parameter, value in zip(module.parameters(), start):
                parameter.copy_(value)
        module.zero_grad(set_to_none=True)
        optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
        alone = run is module
        with mock.patch.object(dist, 'is_initialized', return_value=False) if alone else contextlib.nullcontext():
            run(x[part], target[part]).backward()
        optimizer.step()
        ends.append([p.detach().clone() for p in module.parameters()])
    change = max((one - before).abs().max() for one, before in zip(ends[1], start))
    return float(max((one - other).abs().max() for one, other in zip(*ends)) / change)


def _timed(args, rank: int, world: int, device) -> dict[str, Any]:
    module, size = _network(args.quick, device)
    counter = dict(gradients=0, else_=0)
    wrapped = _wrapped(module, device, counter)
    x, target = _data(args.each * world, size, device)
    x, target = (value[rank * args.each : (rank + 1) * args.each] for value in (x, target))
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-5)
    all_reduce = dist.all_reduce

    def counted(tensor, *arguments, **kwargs):  # the gradients' reduction comes this way as well
        counter['else_'] += tensor.numel() * tensor.element_size()
        return all_reduce(tensor, *arguments, **kwargs)

    def step(exchange: bool) -> float:
        dist.barrier()
        begin = time.perf_counter()
        with contextlib.nullcontext() if exchange else wrapped.no_sync():
            wrapped(x, target).backward()
        optimizer.step()
        if device.type == 'cuda':
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        optimizer.zero_grad(set_to_none=True)
        return seconds

    step(True)
    counter.update(gradients=0, else_=0)
    with mock.patch.object(dist, 'all_reduce', counted):
        step(True)
    exchanged = dict(counter)
    times: dict[bool, list] = {True: [], False: []}
    for _ in range(args.steps):
        for exchange in times:
            times[exchange].append(1e3 * step(exchange))
    gradients = sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)
    return dict(
        step_ms=summary(times[True]),
        step_without_exchange_ms=summary(times[False]),
        steps=args.steps,
        clips=args.each * world,
        gradient_bytes=exchanged['gradients'],
        other_bytes=exchanged['else_'] - exchanged['gradients'],
        trained_bytes=gradients,
        sent_bytes_each=round(2 * (world - 1) / world * exchanged['gradients']),
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--each', type=int, required=True)
    parser.add_argument('--device', required=True)
    parser.add_argument('--steps', type=int, required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--quick', action='store_true')
    one_process(parser.parse_args())
