"""A network of small receptive field on moving digits seen by a moving camera; make demo runs this.

Trains it from the start, without recurrence (static control) and with it. Writes results.json and accuracy.png into the
work directory, config.py and checkpoint.pth of the recurrent network for kaizen-predict, and a few videos to try it on.
Run it again to resume after an interruption; what is complete is not done again.
"""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from mmengine.config import Config
from rich.console import Console
from rich.markdown import Markdown

from kaizen_mm.data.moving_digits import MovingDigits
from kaizen_mm.lab.experiment import compare, conclusion, markdown_table
from kaizen_mm.lab.plots import plot_iterates
from kaizen_mm.openmmlab.inference import write_network
from kaizen_mm.openmmlab.named_configs import CONFIGS
from kaizen_mm.openmmlab.training.record import read_record

VIDEOS = 16  # that are written


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default work_dirs/demo')
    parser.add_argument('--seed', type=int, default=0, help='default 0')
    args = parser.parse_args(argv)
    names = ('kaizen_bagnet3d_moving_camera_k2.py', 'bagnet3d_moving_camera.py')
    configs = [Config.fromfile(CONFIGS / name) for name in names]
    data = Path(args.work_dir, 'moving_digits')
    digits = {key: value for key, value in configs[0].digits.items() if key != 'type'}
    MovingDigits(**{**digits, 'num_train': VIDEOS, 'num_val': VIDEOS}).write(data)
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
