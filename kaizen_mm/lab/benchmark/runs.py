"""What ``kaizen-benchmark`` measures, and in what order ``all`` does."""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from . import comparisons, data, processes
from .conditions import Conditions
from .records import print_table

TITLES = dict(
    block='One block',
    network='Networks in inference',
    train='Networks in a step of training',
    memory='Peak memory of a step of training',
    stream='A window of a stream',
    data='Loading of clips',
    scaling='Processes',
)


def run(args: argparse.Namespace, how: Conditions) -> list[dict[str, Any]]:
    """Measures, prints the table and gives the records."""
    rows = list(_measured(args, how))
    print_table(TITLES[args.command], rows)
    return rows


def _measured(args: argparse.Namespace, how: Conditions) -> Iterable[dict[str, Any]]:
    if args.command == 'data':
        return data.measure(how, args.videos)
    if args.command == 'scaling':
        return processes.measure(how, args.cases)
    if args.command == 'memory':
        return comparisons.memory(how, args.cases)
    if args.command == 'stream':
        return comparisons.stream(how, args.cases)
    return comparisons.against_plain(how, args.command, args.cases, args.iterations, args.batch)


def run_all(args: argparse.Namespace) -> None:
    """Every measurement in a process of its own, so that none finds what another has left."""
    for name in TITLES:
        print(f'{name}:', flush=True)
        given = [name, '--rounds', str(args.rounds), '--seconds', str(args.seconds)]
        given += ['--quick'] if args.quick else []
        given += ['--threads', str(args.threads)] if args.threads else []
        given += ['--videos', args.videos] if args.videos and name == 'data' else []
        given += ['--device', args.device] if name != 'data' else []
        if args.out:
            given += ['--out', str(args.out / f'{name}{"_cuda" if args.device == "cuda" else ""}.json')]
        subprocess.run([sys.executable, '-W', 'ignore', '-m', 'kaizen_mm.commands.benchmark', *given], check=True)
