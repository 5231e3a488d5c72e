"""Writes a published checkpoint under the names of our networks.

mfnet: the original release of MFNet, 2D and 3D. resnet20: the CIFAR-10 ResNet-20 that the paper's authors
released, for configs/kaizen_resnet20_cifar10.py.
"""
import argparse
from pathlib import Path

import torch

from kaizen_mm.files import whole_file
from kaizen_mm.models.convert import CONVERTERS
from kaizen_mm.openmmlab.checkpoints import read_checkpoint


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=CONVERTERS, help='where the checkpoint comes from')
    parser.add_argument('source', help='the published checkpoint')
    parser.add_argument('target', type=Path, help='the file to write')
    parser.add_argument('--prefix', default='', help='put before every name, such as "backbone." for OpenMMLab')
    args = parser.parse_args()
    checkpoint = read_checkpoint(args.source, map_location='cpu')
    state_dict = CONVERTERS[args.kind](checkpoint.get('state_dict', checkpoint))
    args.target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(args.target) as part:
        torch.save({'state_dict': {args.prefix + name: value for name, value in state_dict.items()}}, part)
    print(f'{len(state_dict)} tensors in {args.target}')


if __name__ == '__main__':
    main()
