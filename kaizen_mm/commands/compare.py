"""Trains phase one, where the configs have one, static control and recurrent network, tests them, prints a table.

Writes results.json, results.md and accuracy.png into the work directory. What is complete is not
done again, what was interrupted is resumed.
"""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from mmengine.config import Config

from kaizen_mm.commands.arguments import PREFIX, add_cfg_options, config_file
from kaizen_mm.files import write_lines
from kaizen_mm.lab.cli import merge_options
from kaizen_mm.lab.experiment import compare, conclusion, markdown_table
from kaizen_mm.lab.plots import plot_iterates


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('kaizen', type=config_file, help=f'config, a file or {PREFIX}NAME, of the recurrent network')
    parser.add_argument('control', type=config_file, help='config of its static control')
    parser.add_argument('--work-dir', required=True, help='folder for everything')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='default 0')
    add_cfg_options(parser, 'both configs')
    args = parser.parse_args(argv)
    configs = []
    for path in (args.kaizen, args.control):
        cfg = Config.fromfile(path)
        merge_options(cfg, args.cfg_options)
        configs.append(cfg)
    results = compare(*configs, folder=args.work_dir, seeds=args.seeds)
    plot_iterates(results, Path(args.work_dir, 'accuracy.png'))
    table = f'{markdown_table(results)}\n\n{conclusion(results)}'
    write_lines(Path(args.work_dir, 'results.md'), [table])
    print(table)
