r"""Writes a network as a graph for other programs: torch.export (.pt2) and ONNX, with a free batch size.

    kaizen-export --config CONFIG --checkpoint CHECKPOINT --out net.pt2 net.onnx
    kaizen-export --timm kaizen_mfnet2d_n9 --checkpoint phase_two.pth --out net.onnx --all-iterates \
        --model-kwargs num_classes=20 img_size=64 pool_padding=1

Each file is checked against the network in Python, at two batch sizes, before it is written. Exit status: 0; 2 for an
error, which leaves files that were written before it.
"""

import argparse
import sys
from pathlib import Path
from typing import Optional, Sequence

from mmengine.logging import MMLogger

from kaizen_mm.commands.arguments import add_network
from kaizen_mm.export import FORMATS, export_network
from kaizen_mm.export.formats import check_writable


def parse_args(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network(parser)
    parser.add_argument(
        '--out', nargs='+', type=Path, required=True, metavar='FILE', help=f'files that end in {" or ".join(FORMATS)}'
    )
    parser.add_argument(
        '--all-iterates', action='store_true', help="logits of all iterates as outputs, not the last one's alone"
    )
    parser.add_argument(
        '--input-size',
        nargs='+',
        type=int,
        metavar='N',
        help='of one sample, such as 3 224 224; default what the network was built for',
    )
    return parser.parse_args(argv)


def load(args: argparse.Namespace):
    """The network, and the size of its input where it says one."""
    if args.timm:
        from kaizen_mm.inference.timm_networks import TimmPredictor

        predictor = TimmPredictor(args.timm, args.checkpoint, device='cpu', **args.model_kwargs)
        return predictor.network, (3, *predictor.size)
    from kaizen_mm.openmmlab.inference import ConfigPredictor

    predictor = ConfigPredictor(args.config, args.checkpoint, device='cpu', cfg_options=args.cfg_options)
    backbone, size = predictor.network.backbone, predictor.config.model.backbone.get('input_shape')
    if getattr(backbone, 'input_size', None) is not None:
        size = (backbone.in_chans, *backbone.input_size)
    return predictor.network, None if predictor.config.model.type.endswith('Recognizer2D') else size


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parse_args(argv)
    MMLogger.get_current_instance().setLevel('WARNING')
    try:
        for path in args.out:
            if path.suffix not in FORMATS:
                raise ValueError(f'--out must end in {" or ".join(FORMATS)}, got {path}')
            check_writable(path)
        network, size = load(args)
        size = args.input_size or size
        if size is None:
            raise ValueError(
                '--input-size must be given: the network does not say what it takes. It is C H W of an image, C T H '
                'W of a clip, T C H W for a recognizer of frames (Recognizer2D)'
            )
        for path in args.out:
            difference = export_network(network, path, size, args.all_iterates)
            print(
                f'{path}: input x [batch, {", ".join(map(str, size))}], normalized; differs from the network by '
                f'{difference:.1g}'
            )
    except (OSError, ValueError, RuntimeError, TypeError, ImportError) as error:
        print('error:', ' '.join(str(error).split()), file=sys.stderr)
        return 2
    return 0
