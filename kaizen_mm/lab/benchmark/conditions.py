"""Under what a comparison is made: device, precision, layout, compiled or not, and for how long."""

import argparse
import contextlib
import dataclasses
import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

PRECISIONS = ('float32', 'tf32', 'bf16')
LAYOUTS = ('contiguous', 'channels-last')
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclasses.dataclass
class Conditions:
    """See :func:`add_arguments`."""

    device: str = 'cpu'
    precision: str = 'float32'
    layout: str = 'channels-last'
    compile: bool = False
    threads: int | None = None
    seconds: float = 6.0
    rounds: int = 5
    before: str | None = None
    quick: bool = False

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

    def dtype(self) -> torch.dtype:
        """That of matrix products."""
        return torch.bfloat16 if self.precision == 'bf16' else torch.float32

    def least_rounds(self) -> int:
        """Of a comparison, however long they take."""
        return min(2, self.rounds) if self.quick else self.rounds

    def describe(self) -> dict[str, Any]:
        """The conditions, for a record."""
        return {
            key: value for key, value in dataclasses.asdict(self).items() if key not in ('before', 'threads', 'rounds')
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that all comparisons of networks have."""
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='default cpu')
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        default='float32',
        help='float32 (default), tf32 (on a GPU: products rounded to it) or bf16 (autocast)',
    )
    parser.add_argument(
        '--layout', choices=LAYOUTS, default='channels-last', help='of maps and weights; default channels-last'
    )
    parser.add_argument('--compile', action='store_true', help='our side is compiled by torch.compile')
    parser.add_argument(
        '--before', metavar='REV', help='one more side: the package as it was in this commit, or in this folder'
    )


def conditions(args: argparse.Namespace) -> Conditions:
    """The conditions that the command line asks for, in force.

    Raises:
        ValueError: As from :meth:`Conditions.apply`.
    """
    names = {field.name for field in dataclasses.fields(Conditions)}
    made = Conditions(**{name: value for name, value in vars(args).items() if name in names})
    made.apply()
    return made


def chosen(known: Iterable[str], cases: Iterable[str] | None) -> list[str]:
    """The cases that are asked for, all where it is None.

    Raises:
        ValueError: There is none of that name.
    """
    names = list(known)
    for case in cases or ():
        if case not in names:
            raise ValueError(f'--cases must be some of {", ".join(names)}, got {case!r}')
    return names if cases is None else list(cases)


def hardware(device: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What a measurement was made on, how busy it was, and with what command."""
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else None
    allocator = [f'{name}={value}' for name, value in sorted(os.environ.items()) if name.startswith('MALLOC_')]
    return dict(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        gpu=torch.cuda.get_device_name() if device == 'cuda' else None,
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
