r"""Make and check annotation lists: UCF101, HMDB51, or any `file label` list.

    kaizen-prepare-data ucf101 --videos UCF-101 --splits ucfTrainTestlist --out DIR
    kaizen-prepare-data hmdb51 --videos hmdb51_org \
        --splits testTrainMulti_7030_splits --out DIR
    kaizen-prepare-data list train.txt --videos DIR --out clean.txt

Every video is decoded whole, by the reader of training and by a second one,
in a process of its own with a time limit. Left out, with the reason, are
videos that are missing, cut short, damaged, too short, or not read well by the
reader. Not well is where it gives other frames than the second one, or other
frames when it seeks. Lines are "file label"; the label is the last field, an
integer from 0, and file names may hold spaces. A file with two labels is left
out.

Exit status: 0; 1 where `list` found bad lines; 2 for an error.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import ContextManager, Optional, Sequence

from kaizen_mm.commands.arguments import command, make_parser
from kaizen_mm.folder_lock import locked_folder
from kaizen_mm.text import printable

READERS = ('decord', 'pyav', 'torchcodec')

SPLITS_HELP = {
    'ucf101': 'folder ucfTrainTestlist: classInd.txt, trainlist01.txt, ...',
    'hmdb51': 'folder testTrainMulti_7030_splits: <class>_test_split1.txt, ...',
}
VIDEOS_HELP = {
    'ucf101': 'folder with <Class>/v_*.avi or v_*.avi',
    'hmdb51': 'folder with <class>/*.avi',
    'list': 'folder that the paths of the list are relative to',
}


def parse_args(argv: Optional[Sequence[str]]):
    parser = make_parser(__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    for name, videos in VIDEOS_HELP.items():
        command = commands.add_parser(name)
        command.add_argument('--videos', required=True, metavar='DIR', help=videos)
        command.add_argument('--workers', type=int, metavar='N', help='processes (default: the processors at hand)')
        command.add_argument(
            '--min-frames',
            type=int,
            default=1,
            metavar='N',
            help='leave out shorter videos (default: 1; videos shorter than '
            'a clip of 16 frames are fine, since the sampler loops them)',
        )
        command.add_argument(
            '--timeout',
            type=float,
            default=300,
            metavar='S',
            help='seconds after which a video counts as unreadable (default: 300)',
        )
        command.add_argument(
            '--reader',
            choices=READERS,
            default=os.environ.get('KAIZEN_VIDEO_READER', 'decord'),
            help='what training decodes with (default: KAIZEN_VIDEO_READER, as in the configs, or decord)',
        )
        if name == 'list':
            command.add_argument('file', metavar='FILE', help='list of "file label" lines')
            command.add_argument(
                '--out',
                metavar='FILE',
                help='write the good lines here, the others with reasons to '
                '*_left_out.txt beside it (default: only report)',
            )
            command.add_argument('--num-classes', type=int, metavar='K', help='labels must be below it')
            continue
        command.add_argument('--splits', required=True, metavar='DIR', help=SPLITS_HELP[name])
        command.add_argument(
            '--out',
            required=True,
            metavar='DIR',
            help='folder for train_split1.txt, test_split1.txt, ..., classes.txt, left_out.txt and video_root.txt',
        )
        command.add_argument(
            '--short-side',
            type=int,
            metavar='PX',
            help='re-encode to this short side (even) into OUT/videos, as '
            'H.264 without sound, upright, with a key frame every 16 frames, '
            'and list these, also videos that the reader cannot read but '
            'FFmpeg can; smaller videos keep their size; finished ones are '
            'kept, so an interrupted run can go on (default: list the '
            'originals)',
        )
        command.add_argument(
            '--allow-missing',
            action='store_true',
            help='go on where videos of the splits are not in the folder; a list of which none remains is not written',
        )
    return parser.parse_args(argv)


def _written(command: str, out: Optional[str]) -> ContextManager[None]:
    """What a command writes, locked: a folder, or a list with the one of what is left out."""
    if out is None:
        return nullcontext()
    path = Path(out)
    return locked_folder(path.parent, name=f'.{path.name}.lock') if command == 'list' else locked_folder(path)


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    options = vars(parse_args(argv))

    from kaizen_mm.data.annotations import prepare_hmdb51, prepare_ucf101
    from kaizen_mm.data.list_check import check_list

    command = options.pop('command')
    function = {'ucf101': prepare_ucf101, 'hmdb51': prepare_hmdb51, 'list': check_list}[command]
    try:
        with _written(command, options['out']):
            result = function(**options)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print('error:', printable(' '.join(str(error).split())), file=sys.stderr)
        return 2
    print(printable(str(result), '\n'))
    return int(command == 'list' and bool(result.left_out))
