"""Both phases and the 10-clip test on the embedded data set; make demo runs this.

Writes results.json and accuracy.png into the work directory, and config.py and checkpoint.pth of the recurrent network
for kaizen-predict. Run it again to resume after an interruption; what is complete is not done again.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Optional, Sequence

from mmengine.config import Config
from rich.console import Console
from rich.markdown import Markdown

from kaizen_mm.data.moving_digits import CLASSES, MovingDigits
from kaizen_mm.lab.experiment import compare, conclusion, markdown_table
from kaizen_mm.lab.plots import plot_iterates
from kaizen_mm.openmmlab.inference import write_network
from kaizen_mm.openmmlab.named_configs import CONFIGS
from kaizen_mm.openmmlab.training.record import read_record


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default work_dirs/demo')
    parser.add_argument('--seed', type=int, default=0, help='default 0')
    args = parser.parse_args(argv)
    data = Path(args.work_dir, 'moving_digits')
    MovingDigits().write(data)
    os.environ.update(KAIZEN_LIST_ROOT=str(data), KAIZEN_LIST_CLASSES=str(len(CLASSES)))
    configs = [Config.fromfile(CONFIGS / name) for name in ('kaizen_mfnet_digits.py', 'mfnet_digits_control.py')]
    console = Console()
    results = compare(*configs, folder=args.work_dir, seeds=[args.seed], announce=console.print, quiet=True)
    plot_iterates(results, Path(args.work_dir, 'accuracy.png'))
    console.print(Markdown(markdown_table(results)))
    trained = Path(args.work_dir, f'seed_{args.seed}', 'kaizen')
    config, checkpoint = write_network(configs[0], trained / read_record(trained).checkpoint, args.work_dir)
    console.print(f'{args.work_dir}/results.json, {args.work_dir}/accuracy.png; to predict with what was trained:')
    predict = 'kaizen-predict' if Path(sys.argv[0]).name == 'kaizen-demo' else 'python tools/predict.py'
    console.print(
        f'{predict} "{data}/videos/val_0000*.mp4" --config {config} --checkpoint {checkpoint}', soft_wrap=True
    )
    console.print(conclusion(results))
