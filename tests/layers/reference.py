"""The adaptive recurrence written out plainly, one sample and one pooling window at a time.

Nothing here uses the package: the layers are compared with it.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch.func import functional_call


def pooled_windows(z, kernel, stride, padding):
    """Average and maximum of every window of one map ``[C, *S]``: two tensors ``[C, positions]``.

    A window that hangs over the border is divided by its full size in the average (zeros
    count) and has the maximum of what lies inside the map.
    """
    starts = [range(-p, s + p - k + 1, t) for s, k, t, p in zip(z.shape[1:], kernel, stride, padding)]
    averages, maxima = [], []
    for corner in itertools.product(*starts):
        inside = tuple(slice(max(c, 0), max(c + k, 0)) for c, k in zip(corner, kernel))
        window = z[(slice(None), *inside)].flatten(1)
        averages.append(window.sum(dim=1) / math.prod(kernel))
        maxima.append(window.amax(dim=1))
    return torch.stack(averages, dim=1), torch.stack(maxima, dim=1)


def pooled_rows(z, num_rows, pool=None, layout='channel'):
    """The rows ``[num_rows, F]`` that one sample's map ``[C, *S]`` gives.

    Args:
        pool: ``(kernel, stride, padding)``, one value per dimension in each; None: no pooling.
    """
    if pool is None:
        return z.reshape(num_rows, -1)
    average, maximum = pooled_windows(z, *pool)
    if layout == 'concatenated':
        values = [average.flatten(), maximum.flatten()]
    else:
        values = [part for channel in zip(average, maximum) for part in channel]
    return torch.cat(values).reshape(num_rows, -1)


def recurrence(
    plain,
    linears,
    u,
    dynamic,
    num_iterations,
    *,
    alpha,
    feedback='',
    pool=None,
    layout='channel',
    shared_rows=True,
    bound=None,
):
    """``z_i = block(u, W_i)``, ``W_{i+1} = W_i + alpha * h(z_i)``, sample by sample.

    Args:
        plain: The plain block; it must treat samples one by one.
        linears: The linear layer of ``h`` for each name in ``dynamic``.

    Returns:
        List of the ``num_iterations`` outputs ``[N, ...]``.
    """
    outputs = [[] for _ in range(num_iterations)]
    for sample in u:
        weights = {name: plain.get_submodule(name).weight.detach() for name in dynamic}
        for i in range(num_iterations):
            seen = []
            handle = plain.get_submodule(feedback).register_forward_hook(
                lambda module, inputs, output: seen.append(output)
            )
            y = functional_call(plain, {f'{n}.weight': w for n, w in weights.items()}, (sample[None],))
            handle.remove()
            outputs[i].append(y[0])
            for name, linear in zip(dynamic, linears):
                rows = pooled_rows(seen[0][0], len(weights[name]) if shared_rows else 1, pool, layout)
                change = torch.stack([F.linear(row, linear.weight, linear.bias) for row in rows])
                change = torch.tanh(change) if bound == 'tanh' else change
                weights[name] = weights[name] + alpha * change.reshape(weights[name].shape)
    return [torch.stack(iterate) for iterate in outputs]
