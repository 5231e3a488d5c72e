"""Times recurrent networks against the plain one, in one run, and prints the ratios.

Rows: K iterations with the low-rank update, and with per-sample weights (what a bounded update
needs). "unit" is the last unit alone, "network" all of it.
"""
import argparse

import torch
from torch.utils.benchmark import Timer

from kaizen_mm.layers import AdaptiveRecurrentBlock
from kaizen_mm.models import mfnet3d_n9


def seconds(function, backward: bool) -> float:
    """Median time of one call, with the gradient where asked for."""

    def call():
        with torch.set_grad_enabled(backward):
            outputs = function()
            if backward:
                sum(y.sum() for y in outputs).backward()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    call()
    return Timer('call()', globals=dict(call=call)).blocked_autorange(min_run_time=2).median


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--batch', type=int, default=8, help='clips; default 8')
    parser.add_argument('--size', type=int, nargs=3, default=(16, 112, 112), metavar=('T', 'H', 'W'), help='default 16 112 112')
    args = parser.parse_args()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    print(torch.cuda.get_device_name() if device == 'cuda' else f'CPU, {torch.get_num_threads()} threads',
          f'torch {torch.__version__}, batch {args.batch}, clips {tuple(args.size)}', sep=', ')
    x = torch.randn(args.batch, 3, *args.size, device=device)
    pooling = dict(pool_padding=(2, 1, 1)) if min(args.size[1:]) < 96 else {}

    def build(num_iterations, **kwargs):
        net = mfnet3d_n9(num_classes=101, num_iterations=num_iterations, input_size=args.size, **pooling, **kwargs)
        return net.to(device, memory_format=torch.channels_last_3d)

    rows = [('plain', dict(num_iterations=1))]
    rows += [(f'K = {k}, low rank', dict(num_iterations=k)) for k in (2, 3, 4)]
    rows += [(f'K = {k}, per-sample weights', dict(num_iterations=k, bound='tanh')) for k in (2, 3, 4)]
    base = {}
    print('| | network, inference | network, training | unit, inference | unit, training |\n| --- | --- | --- | --- | --- |')
    for name, kwargs in rows:
        net = build(**kwargs)
        unit: AdaptiveRecurrentBlock = net.recurrent_block
        with torch.no_grad():
            u = net.conv5[:-1](net.conv4(net.conv3(net.conv2(net.maxpool(net.conv1(x))))))
        cells = []
        for part, function in (('network', lambda: net.forward_iterates(x)), ('unit', lambda: unit(u))):
            for backward in (False, True):
                net.train(backward)
                time = seconds(function, backward)
                base.setdefault((part, backward), time)
                cells.append(f'{1e3 * time:.1f} ms, {time / base[part, backward]:.2f}')
        print(f'| {name} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    main()
