"""Looks at a folder of photos or videos, or a list, writes a short config for it and prints the next commands.

    kaizen-new path/to/photos
    kaizen-new path/to/videos/train.txt --out fights.py

The folder has train/ and val/ with a folder for each class, or a folder for each class, of which every fifth file is
then drawn for validation, or the lists train.txt and val.txt of "file label" lines. A few steps of training are timed.
Exit status: 0; 2 for an error, and then nothing is written.
"""

import shlex
import sys
from pathlib import Path
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import command, make_parser, quiet_mmengine
from kaizen_mm.text import printable


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('folder', type=Path, help='a folder of photos or videos, or a list')
    parser.add_argument('--out', type=Path, metavar='FILE', help='the config; default FOLDER_NAME.py')
    parser.add_argument(
        '--network',
        choices=['patches', 'resnet18', 'mfnet', 'slowonly'],
        help='of photos patches or resnet18, of videos mfnet or slowonly; default by size, number and machine',
    )
    parser.add_argument(
        '--weights',
        metavar='FILE',
        help='to start from: a file, an address, kaizen_mm::NAME, timm::NAME, or none; default by number of samples',
    )
    args = parser.parse_args(argv)

    quiet_mmengine('ERROR')  # that a frozen layer gets no optimizer is a warning
    from kaizen_mm.openmmlab.new.choice import choose
    from kaizen_mm.openmmlab.new.survey import named_classes, survey
    from kaizen_mm.openmmlab.new.write import check_target, config_name, try_config, write_config
    from kaizen_mm.openmmlab.training.estimate import spoken_size, spoken_time

    if args.out is not None:
        check_target(args.out)
    print(printable(f'Looking at {args.folder}'), flush=True)
    found = survey(args.folder)
    config = args.out or Path(f'{config_name(found)}.py')
    check_target(config)
    print(
        f'{len(found.classes)} classes ({printable(named_classes(found))}); {len(found.train)} {found.kind} to train '
        f'on, {len(found.val)} to validate on; shorter side {found.side} px'
        + (f', {found.frames} frames' if found.frames else '')
        + (f' at {found.rate:.3g} a second' if found.rate else '')
        + ' (medians)'
    )
    for line in found.odd:
        print(printable(f'Odd: {line}.'))
    choice = choose(found, args.network, args.weights)
    for line in choice.why:
        print(printable(f'- {line}'))
    print('Timing a few steps', flush=True)
    phases, advice = try_config(found, choice)
    print(advice)
    whole = spoken_time(sum(phase.seconds for phase in phases))
    for name, epochs, steps, _, seconds in phases:
        print(f'{name.capitalize()}: {epochs} epochs of {steps} steps, about {spoken_time(seconds)}')
    memory = spoken_size(max(phase.cost.memory for phase in phases))
    in_all = f'In all about {whole}; ' if len(phases) > 1 else ''
    print(f'{in_all}{memory} for weights and maps of a batch')
    written = ' and '.join(str(path) for path in write_config(found, choice, config))
    print(printable(f'Written: {written}'))
    tool = 'kaizen-{}' if Path(sys.argv[0]).name == 'kaizen-new' else 'python tools/{}.py'
    words = shlex.quote(str(config))
    checkpoint = shlex.quote(f'work_dirs/{config.stem}/epoch_{choice.epochs}.pth')
    print('Next:')
    for name, arguments in (('train', words), ('test', f'{words} {checkpoint}'), ('report', f'{words} {checkpoint}')):
        print(printable(f'    {tool.format(name)} {arguments}'))
