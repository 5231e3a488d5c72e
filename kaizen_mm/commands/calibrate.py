"""Chooses when samples may leave before the last iterate, on held-out training data.

    kaizen-calibrate kaizen_mm::kaizen_bagnet_cifar10_k2.py kaizen_mm::kaizen_bagnet_cifar10 --out exits.json

The data are those of the config's val_dataloader, which must not be those of the test. A temperature for each iterate
makes its confidence honest; the threshold is the one of the fewest passes at which the held-out accuracy is still that
of all passes. kaizen-test and kaizen-report take the file as --exit-at.
"""

from functools import partial
from pathlib import Path
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import PREFIX, add_cfg_options, command, config_file, make_parser, share
from kaizen_mm.text import printable


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('config', type=config_file, help=f'config, a file or {PREFIX}NAME')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', type=Path, metavar='FILE', required=True, help='the .json file to write')
    parser.add_argument(
        '--tolerance',
        type=share,
        default=0.0,
        metavar='SHARE',
        help='of the held-out samples that may be lost against all passes, such as 0.005; default 0',
    )
    parser.add_argument('--device', help='default a GPU where there is one')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.out.suffix != '.json' or args.out.is_dir():
        parser.error(f'--out must name a .json file, got {args.out}')

    from mmengine.logging import MMLogger
    from rich.progress import track

    from kaizen_mm.calibration import write_calibration
    from kaizen_mm.inference.output import check_outputs
    from kaizen_mm.openmmlab.held_out import calibrate

    MMLogger.get_instance('calibrate', log_level='WARNING')
    try:
        check_outputs([], [args.out.parent])
        found, held_out = calibrate(
            args.config,
            args.checkpoint,
            args.cfg_options,
            args.device,
            partial(track, description='held-out data'),
            args.tolerance,
        )
        write_calibration(args.out, found, dict(config=args.config, **held_out))
    except (OSError, ValueError) as error:
        parser.error(printable(str(error)))
    temperatures = ', '.join(f'{value:.3g}' for value in found.temperatures)
    accuracy = ', '.join(f'{value:.2f}' for value in held_out['accuracy'])
    print(
        f'{held_out["samples"]} held-out samples: temperatures {temperatures}, threshold {found.threshold:.4g}; top-1 '
        f'of the iterates {accuracy} %, of early exit {held_out["early_exit_accuracy"]:.2f} % with '
        f'{held_out["mean_passes"]:.2f} passes'
    )
    print(printable(args.out))


if __name__ == '__main__':
    main()
