"""Under what a comparison is made: device, precision, layout, compiled or not, and for how long."""

import argparse
import contextlib
import dataclasses
import os
import platform
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclasses.dataclass
class Conditions:
    """See ``kaizen-benchmark --help``."""

    device: str = 'cpu'
    precision: str = 'float32'
    layout: str = 'channels-last'
    compile: bool = False
    threads: int | None = None
    seconds: float = 6.0
    rounds: int = 5
    quick: bool = False

    def __post_init__(self):
        if self.quick:
            self.seconds, self.rounds = 0.0, min(2, self.rounds)

    def apply(self) -> None:
        """Sets the number of threads and whether CUDA may round to TF32.

        Raises:
            ValueError: There is no GPU, or the precision is one of a GPU.
        """
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise ValueError('--device must be cpu where there is no GPU, got cuda')
        if self.precision == 'tf32' and self.device != 'cuda':
            raise ValueError('--precision must be float32 or bf16 on a CPU, got tf32')
        if self.threads:
            torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.precision == 'tf32'

    def autocast(self):
        """The context of a forward pass."""
        if self.precision == 'bf16':
            return torch.autocast(self.device, torch.bfloat16)
        return contextlib.nullcontext()

    def place(self, value):
        """A module or a tensor on the device, in the layout."""
        value = value.to(self.device)
        dims = {p.dim() for p in value.parameters()} if isinstance(value, nn.Module) else {value.dim()}
        for dim in dims & set(_CHANNELS_LAST) if self.layout == 'channels-last' else ():
            value = value.to(memory_format=_CHANNELS_LAST[dim])
        return value


def conditions(args: argparse.Namespace) -> Conditions:
    """The conditions that the command line asks for, in force.

    Raises:
        ValueError: As from :meth:`Conditions.apply`.
    """
    names = {field.name for field in dataclasses.fields(Conditions)}
    made = Conditions(**{name: value for name, value in vars(args).items() if name in names})
    made.apply()
    return made


def circumstances(how: Conditions, arguments: Sequence[str]) -> dict[str, Any]:
    """Under what, on what and with what command a measurement was made, and how busy the machine was."""
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    allocator = [f'{name}={value}' for name, value in sorted(os.environ.items()) if name.startswith('MALLOC_')]
    return dict(
        dataclasses.asdict(how),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        gpu=torch.cuda.get_device_name() if how.device == 'cuda' else None,
        threads=torch.get_num_threads(),
        load_before=load and round(load, 2),
        torch=torch.__version__,
        python=platform.python_version(),
        command=' '.join([*allocator, 'python tools/benchmark.py', *arguments]),
    )


def _processor() -> str:
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            return next(line.split(':')[1].strip() for line in file if line.startswith('model name'))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
