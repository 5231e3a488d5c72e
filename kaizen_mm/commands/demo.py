"""A network of small receptive field on moving digits seen by a moving camera; make demo runs this.

Trains it from the start, without recurrence (static control) and with it. Writes results.json and accuracy.png into the
work directory, config.py and checkpoint.pth of the recurrent network for kaizen-predict, and a few videos and a stream
to try it on.
Run it again to resume after an interruption; what is complete is not done again.

    kaizen-demo --seed 1
"""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence, Tuple

from kaizen_mm.commands.arguments import command, make_parser
from kaizen_mm.config_files import CONFIGS
from kaizen_mm.folder_lock import locked_folder

VIDEOS = 16  # that are written
SCENES, LENGTH = 4, 96  # of the stream, and frames of each


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default work_dirs/demo')
    parser.add_argument('--seed', type=int, default=0, help='default 0')
    args = parser.parse_args(argv)
    with locked_folder(args.work_dir):
        _demo(args)


def _demo(args: argparse.Namespace) -> None:
    from mmengine.config import Config
    from rich.console import Console
    from rich.markdown import Markdown

    from kaizen_mm.data.moving_digits import MovingDigits
    from kaizen_mm.lab.experiment import compare, conclusion, markdown_table
    from kaizen_mm.lab.plots import plot_iterates
    from kaizen_mm.openmmlab.inference import write_network
    from kaizen_mm.openmmlab.training.record import read_record

    names = ('kaizen_bagnet3d_moving_camera_k2.py', 'bagnet3d_moving_camera.py')
    configs = [Config.fromfile(CONFIGS / name) for name in names]
    data = Path(args.work_dir, 'moving_digits')
    digits = {key: value for key, value in configs[0].digits.items() if key != 'type'}
    MovingDigits(**{**digits, 'num_train': VIDEOS, 'num_val': VIDEOS}).write(data)
    stream = write_stream(digits, Path(args.work_dir, 'stream.mp4'))
    console = Console()
    results = compare(*configs, folder=args.work_dir, seeds=[args.seed], announce=console.print, quiet=True)
    plot_iterates(results, Path(args.work_dir, 'accuracy.png'))
    console.print(Markdown(markdown_table(results)))
    trained = Path(args.work_dir, f'seed_{args.seed}', 'kaizen')
    config, checkpoint = write_network(configs[0], trained / read_record(trained).checkpoint, args.work_dir)
    console.print(f'{args.work_dir}/results.json, {args.work_dir}/accuracy.png; to predict with what was trained:')
    files, along_a_stream = proposals(
        Path(sys.argv[0]).name, f'{data}/videos/val_0000*.mp4', stream, config, checkpoint
    )
    console.print(files, soft_wrap=True)
    console.print(f'and on a stream of {SCENES} scenes, in one pass a window where weights are held:')
    console.print(along_a_stream, soft_wrap=True)
    console.print(conclusion(results))


def proposals(program: str, videos: str, stream: Path, config: str, checkpoint: str) -> Tuple[str, str]:
    """Commands that try the trained network on files and on a stream."""
    predict = 'kaizen-predict' if program == 'kaizen-demo' else 'python tools/predict.py'
    network = f'--config {config} --checkpoint {checkpoint}'
    return (
        f'{predict} "{videos}" {network}',
        f'{predict} --stream {stream} {network} --timeline {stream.with_suffix(".png")}',
    )


def write_stream(digits: dict, path: Path) -> Path:
    """A video of several scenes that the network has not seen, one after the other."""
    import numpy as np

    from kaizen_mm.data.moving_digits import MovingDigits, write_video

    data = MovingDigits(**{**digits, 'num_train': 1, 'num_val': SCENES, 'num_frames': LENGTH, 'seed': 78})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.concatenate([data.render('val', index)[0] for index in range(SCENES)]), data.frame_rate)
    return path
