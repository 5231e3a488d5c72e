"""Draws the curves of trainings from the scalars.json files in their work directories, as a PNG.

Loss, accuracies and changes of weights and logits, per iterate, over both phases; several trainings, such as a
recurrent network and its control, share each plot.

    kaizen-plot-run work_dirs/kaizen_mfnet_digits work_dirs/mfnet_digits_control --out curves.png
"""

from pathlib import Path
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import command, make_parser
from kaizen_mm.text import printable


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        'work_dirs',
        nargs='+',
        type=Path,
        metavar='WORK_DIR',
        help='work directory of a training, or a folder of several',
    )
    parser.add_argument('--out', type=Path, metavar='FILE', help='default curves.png in the first WORK_DIR')
    args = parser.parse_args(argv)
    out = args.out or args.work_dirs[0] / 'curves.png'
    if out.suffix != '.png':
        parser.error(f'--out must name a .png file, got {out}')

    from kaizen_mm.lab.curves import find_runs
    from kaizen_mm.lab.run_plot import plot_runs

    try:
        runs = find_runs(args.work_dirs)
        plot_runs(runs, out)
    except (OSError, ValueError) as error:
        parser.error(printable(str(error)))
    print(printable(f'{out}: {", ".join(run.name for run in runs)}'))
