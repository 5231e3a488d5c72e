"""Says what is known of a recurrence before it is trained: what a position of the last map sees, and what it costs.

    kaizen-advise kaizen_mm::kaizen_mfnet_digits.py
    kaizen-advise config.py --input-size 3 224 224

Of a network without a recurrence it says what would be made recurrent. Exit status: 0; 2 for an error.
"""

import sys
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import (
    PREFIX,
    add_cfg_options,
    command,
    config_file,
    make_parser,
    positive,
    quiet_mmengine,
)
from kaizen_mm.text import printable


@command
def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument('config', type=config_file, help=f'config, a file or {PREFIX}NAME')
    parser.add_argument(
        '--input-size',
        nargs='+',
        type=positive,
        metavar='N',
        help='of what the backbone gets for one sample, such as 3 224 224; default what the config says, or else that '
        'of the first training sample',
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)

    from kaizen_mm.openmmlab.advice import advise
    from kaizen_mm.openmmlab.command_line import read_config

    quiet_mmengine()
    try:
        print(advise(read_config(args.config, args.cfg_options), args.input_size))
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, StopIteration) as error:
        print('error:', printable(' '.join(str(error).split())), file=sys.stderr)
        return 2
    return 0
