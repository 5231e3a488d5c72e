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

from kaizen_mm.commands.arguments import add_network, command, make_parser, quiet_mmengine
from kaizen_mm.text import printable

ENDINGS = ('.pt2', '.onnx')


def parse_args(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add_network(parser)
    parser.add_argument(
        '--out', nargs='+', type=Path, required=True, metavar='FILE', help=f'files that end in {" or ".join(ENDINGS)}'
    )
    parser.add_argument(
        '--all-iterates', action='store_true', help="logits of all iterates as outputs, not the last one's alone"
    )
    parser.add_argument(
        '--adapt-to',
        type=Path,
        metavar='FILE',
        help='write the plain network that has the weights which a video or an image has written, the mean of all its '
        'clips; or those of a .safetensors file of fast weights',
    )
    parser.add_argument(
        '--input-size',
        nargs='+',
        type=int,
        metavar='N',
        help='of one sample, such as 3 224 224; default what the network was built for',
    )
    return parser.parse_args(argv)


def adapted(predictor, path: Path):
    """The plain network with the weights that a file has written.

    Raises:
        ValueError: The file cannot be used, or nothing is written.
        OSError: It cannot be read.
    """
    from kaizen_mm.layers import FastWeights, specialized
    from kaizen_mm.layers.writing_block import writing

    if path.suffix == '.safetensors':
        weights = FastWeights.load(path)
    else:
        with writing(predictor.network) as written:
            (prediction,) = predictor(path)
            if prediction.error:
                raise ValueError(f'--adapt-to {path}: {prediction.error}')
        weights = written.weights
    return specialized(predictor.network, weights.mean()).eval()


def load(args: argparse.Namespace):
    """The network, and the size of its input where it says one."""
    if args.timm:
        from kaizen_mm.inference.timm_networks import TimmPredictor

        predictor = TimmPredictor(args.timm, args.checkpoint, device='cpu', **args.model_kwargs)
        network = adapted(predictor, args.adapt_to) if args.adapt_to else predictor.network
        return network, (3, *predictor.size)
    from kaizen_mm.openmmlab.inference import ConfigPredictor

    quiet_mmengine()
    predictor = ConfigPredictor(args.config, args.checkpoint, device='cpu', cfg_options=args.cfg_options)
    backbone, size = predictor.network.backbone, predictor.config.model.backbone.get('input_shape')
    if getattr(backbone, 'input_size', None) is not None:
        size = (backbone.in_chans, *backbone.input_size)
    network = adapted(predictor, args.adapt_to) if args.adapt_to else predictor.network
    return network, None if predictor.config.model.type.endswith('Recognizer2D') else size


@command
def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parse_args(argv)

    from kaizen_mm.export import export_network
    from kaizen_mm.export.formats import check_writable

    try:
        for path in args.out:
            if path.suffix not in ENDINGS:
                raise ValueError(f'--out must end in {" or ".join(ENDINGS)}, got {path}')
            check_writable(path)
        if args.adapt_to and args.all_iterates:
            raise ValueError('--all-iterates must be left out with --adapt-to: a plain network has no iterates')
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
                f'{printable(path)}: input x [batch, {", ".join(map(str, size))}], normalized; differs from the '
                f'network by {difference:.1g}'
            )
    except (OSError, ValueError, RuntimeError, TypeError, ImportError) as error:
        print('error:', printable(' '.join(str(error).split())), file=sys.stderr)
        return 2
    return 0
