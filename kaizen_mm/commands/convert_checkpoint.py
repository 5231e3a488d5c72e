"""Writes a published checkpoint under the names of our networks.

mfnet: the original release of MFNet, 2D and 3D. resnet20: the CIFAR-10 ResNet-20 that the paper's authors
released, for configs/kaizen_resnet20_cifar10.py. resnet20_base: the plain ResNet-20 that they started from
(resnet20-12fca82f.th), phase one of that config.

    kaizen-convert-checkpoint mfnet MFNet3D_Kinetics-400_72.8.pth mfnet_k400.pth --prefix backbone.

Exit status: 0; 2 for a file that is none of that kind, or cannot be read.
"""

import io
from pathlib import Path
from typing import Optional, Sequence

from kaizen_mm.commands.arguments import command, make_parser

KINDS = ('mfnet', 'resnet20', 'resnet20_base')


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('kind', choices=KINDS, help='what the checkpoint is of')
    parser.add_argument('source', help='the published checkpoint')
    parser.add_argument('target', type=Path, help='the file to write')
    parser.add_argument('--prefix', default='', help='put before every name, such as "backbone." for OpenMMLab')
    args = parser.parse_args(argv)

    import torch

    from kaizen_mm.checkpoint_files import read_checkpoint
    from kaizen_mm.files import write_bytes
    from kaizen_mm.models.convert import RELEASES

    try:
        checkpoint = read_checkpoint(args.source)
        state_dict = RELEASES[args.kind].convert(checkpoint.get('state_dict', checkpoint))
    except (AttributeError, OSError, ValueError) as error:
        parser.error(f'{args.source}: {error}')
    content = io.BytesIO()  # torch.save to a full disk gives an error that does not say so
    torch.save({'state_dict': {args.prefix + name: value for name, value in state_dict.items()}}, content)
    write_bytes(args.target, content.getvalue())
    print(f'{len(state_dict)} tensors in {args.target}')
