"""Trains phase one, where the configs have one, static control and recurrent network, tests them, prints a table.

Writes results.json, results.md and accuracy.png into the work directory. What is complete is not
done again, what was interrupted is resumed.

    kaizen-compare kaizen_mm::kaizen_mnist_k3.py kaizen_mm::mnist_control.py --work-dir work_dirs/compare
"""

from pathlib import Path
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import PREFIX, add_cfg_options, command, config_file, make_parser
from kaizen_mm.folder_lock import locked_folder


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('kaizen', type=config_file, help=f'config, a file or {PREFIX}NAME, of the recurrent network')
    parser.add_argument('control', type=config_file, help='config of its static control')
    parser.add_argument('--work-dir', required=True, help='folder for everything')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='default 0')
    add_cfg_options(parser, 'both configs')
    args = parser.parse_args(argv)

    from kaizen_mm.files import write_lines
    from kaizen_mm.lab.experiment import compare, conclusion, markdown_table
    from kaizen_mm.lab.plots import plot_iterates
    from kaizen_mm.openmmlab.command_line import merge_options
    from kaizen_mm.openmmlab.named_configs import load_config

    configs = []
    for path in (args.kaizen, args.control):
        cfg = load_config(path)
        merge_options(cfg, args.cfg_options)
        configs.append(cfg)
    with locked_folder(args.work_dir):
        results = compare(*configs, folder=args.work_dir, seeds=args.seeds)
        plot_iterates(results, Path(args.work_dir, 'accuracy.png'))
        table = f'{markdown_table(results)}\n\n{conclusion(results)}'
        write_lines(Path(args.work_dir, 'results.md'), [table])
    print(table)
