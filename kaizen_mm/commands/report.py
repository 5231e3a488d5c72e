"""Writes a page about a trained network: what its iterates make of the test set of its config.

    kaizen-report CONFIG CHECKPOINT

The page, one file of HTML, has the accuracy of every iterate with its uncertainty, what the iterations change, accuracy
and confusion of the classes, and the samples that a later iterate corrects or breaks.
"""

import argparse
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Optional, Sequence

import torch
from mmengine.logging import MMLogger
from rich.progress import track

from kaizen_mm.commands.arguments import PREFIX, add_cfg_options, config_file
from kaizen_mm.inference.output import check_outputs
from kaizen_mm.report import write_report
from kaizen_mm.report.evaluation import evaluate


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help=f'config, a file or {PREFIX}NAME')
    parser.add_argument('checkpoint', type=Path, help='checkpoint file')
    parser.add_argument('--out', type=Path, metavar='FILE', help='default report.html beside the checkpoint')
    parser.add_argument(
        '--samples', type=int, default=24, metavar='N', help='corrected and broken ones to show; default 24'
    )
    parser.add_argument('--device', help='default a GPU where there is one')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    out = args.out or args.checkpoint.with_name('report.html')
    if out.suffix != '.html':
        parser.error(f'--out must name an .html file, got {out}')
    if out.is_dir():
        parser.error(f'--out must name a file, {out} is a folder')
    if args.samples < 0:
        parser.error(f'--samples must be an int >= 0, got {args.samples}')
    MMLogger.get_instance('report', log_level='WARNING')
    try:
        for file in (Path(args.config), args.checkpoint):
            if not file.is_file():
                raise FileNotFoundError(f'no file {file}')
        check_outputs([], [out.parent])
        outcomes = evaluate(
            args.config, str(args.checkpoint), args.cfg_options, args.device, partial(track, description='test set')
        )
        facts = {
            'config': args.config,
            'checkpoint': args.checkpoint,
            'written': datetime.now().strftime('%Y-%m-%d %H:%M'),
            'PyTorch': torch.__version__,
        }
        write_report(outcomes, out, Path(args.config).stem, facts, args.samples)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for number, (share, low, high) in enumerate(outcomes.accuracy(), start=1):
        print(f'iterate {number}: top-1 {100 * share:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})')
    print(out)
