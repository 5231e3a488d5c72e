"""The comparators once more, as plain loops over a state dict: slow, without modules, in evaluation mode.

``w`` is the state dict. Everything is written from the papers' formulas and shares no code with the package.
"""

import torch
import torch.nn.functional as F


def norm(w, name, x, row=None):
    """Batch norm with running statistics; ``row``: those of a later iterate."""
    mean, var = w[f'{name}.running_mean'], w[f'{name}.running_var']
    if row is not None:
        mean, var = w[f'{name}.iterates.running_mean'][row], w[f'{name}.iterates.running_var'][row]
    shape = (1, -1, 1, 1)
    x = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5)
    return x * w[f'{name}.weight'].view(shape) + w[f'{name}.bias'].view(shape)


def conv(w, name, x, stride=1, groups=1):
    kernel = w[f'{name}.weight']
    return F.conv2d(x, kernel, w.get(f'{name}.bias'), stride, kernel.shape[-1] // 2, groups=groups)


def resnet_stem(w, x):
    return F.max_pool2d(norm(w, 'stem.1', conv(w, 'stem.0', x, 2)).clamp(min=0), 3, 2, 1)


def cornet_s(w, x, times):
    x = norm(w, 'V1.1', conv(w, 'V1.0', x, 2)).clamp(min=0)
    x = norm(w, 'V1.5', conv(w, 'V1.4', F.max_pool2d(x, 3, 2, 1))).clamp(min=0)
    for area, count in zip(('V2', 'V4', 'IT'), times):
        x = conv(w, f'{area}.conv_input', x)
        seen = []
        for t in range(count):
            z = norm(w, f'{area}.norms1.{t}', conv(w, f'{area}.conv1', x)).clamp(min=0)
            z = norm(w, f'{area}.norms2.{t}', conv(w, f'{area}.conv2', z, 1 if t else 2)).clamp(min=0)
            z = norm(w, f'{area}.norms3.{t}', conv(w, f'{area}.conv3', z))
            x = (z + (x if t else norm(w, f'{area}.norm_skip', conv(w, f'{area}.skip', x, 2)))).clamp(min=0)
            seen.append(x)
    return seen


def cornet_z(w, x):
    for area in ('V1', 'V2', 'V4', 'IT'):
        x = F.max_pool2d(conv(w, f'{area}.0', x, 2 if area == 'V1' else 1).clamp(min=0), 3, 2, 1)
    return [x]


def cornet_rt(w, x, times):
    areas = ('V1', 'V2', 'V4', 'IT')

    def grouped(name, x):
        return F.group_norm(x, 32, w[f'{name}.weight'], w[f'{name}.bias']).clamp(min=0)

    given = {'image': [x] * times, **{area: [] for area in areas}}
    for t in range(times):
        for number, area in enumerate(areas):
            below = 'image' if number == 0 else areas[number - 1]
            when = t if number == 0 else t - 1
            if when < 0:  # nothing comes yet
                side = -(-x.shape[-1] // 2 ** (number + 2))
                drive = torch.zeros(len(x), w[f'{area}.conv1.weight'].shape[1], side, side)
            else:
                drive = grouped(
                    f'{area}.norm_input', conv(w, f'{area}.conv_input', given[below][when], 2 if number else 4)
                )
            if t:
                drive = drive + given[area][t - 1]
            given[area].append(grouped(f'{area}.norm1', conv(w, f'{area}.conv1', drive)))
    return given['IT'][3:]


def sharesnet(w, x, blocks):
    x = resnet_stem(w, x)
    for stage, count in enumerate(blocks):
        for block in range(count):
            name = f'stages.{stage}.blocks.{block}'
            stride = 2 if stage and not block else 1
            z = norm(w, f'{name}.bn1', conv(w, f'{name}.conv1', x, stride)).clamp(min=0)
            z = norm(w, f'{name}.bn2', conv(w, f'stages.{stage}.conv2', z))
            if f'{name}.shortcut.0.weight' in w:
                x = norm(w, f'{name}.shortcut.1', conv(w, f'{name}.shortcut.0', x, stride))
            x = (z + x).clamp(min=0)
    return [x]


def iamnn(w, x, iterations, widths, epsilon):
    """Image by image, as adaptive computation time is written down: states until the image halts, then their weighted
    sum."""
    images = [_iamnn_image(w, image[None], iterations, widths, epsilon) for image in x]
    iterates = [torch.cat(maps) for maps in zip(*(maps for maps, _ in images))]
    return iterates, sum(cost for _, cost in images) / len(images)


def _iamnn_image(w, x, iterations, widths, epsilon):
    x = resnet_stem(w, x)
    total = 0.0
    for stage, (most, channels) in enumerate(zip(iterations, widths)):
        if stage:
            x = F.avg_pool2d(x, 2, ceil_mode=True)
        x = torch.cat([x, torch.zeros(1, channels - x.shape[1], *x.shape[2:])], dim=1)
        states, halting = [], []
        for n in range(most):
            name = f'stages.{stage}'
            z = norm(w, f'{name}.norms1.{n}', conv(w, f'{name}.conv1', x)).clamp(min=0)
            groups = z.shape[1]
            z = norm(w, f'{name}.norms2.{n}', conv(w, f'{name}.conv2', z, groups=groups)).clamp(min=0)
            x = (x + norm(w, f'{name}.norms3.{n}', conv(w, f'{name}.conv3', z))).clamp(min=0)
            states.append(x)
            if most > 1:
                h = torch.sigmoid(w[f'{name}.halting.weight'] @ x.mean(dim=(2, 3))[0] + w[f'{name}.halting.bias'])
                halting.append(float(h))
        ends = []
        for last in range(1, most + 1):  # as if iteration ``last`` were the last one allowed
            stop = next(n for n in range(1, last + 1) if n == last or sum(halting[:n]) >= 1 - epsilon)
            remainder = 1 - sum(halting[: stop - 1])
            ends.append(sum(h * s for h, s in zip(halting[: stop - 1], states)) + remainder * states[stop - 1])
        x = ends[-1]
        total += stop + remainder
    return ends, total


def feedback_net(w, x, steps, strides=(1, 2, 2, 1)):
    image = norm(w, 'stem.1', conv(w, 'stem.0', x)).clamp(min=0)
    hidden, cell, outputs = {}, {}, []
    for t in range(steps):
        x = image
        for number, stride in enumerate(strides):
            name = f'lstms.{number}'
            channels = w[f'{name}.hidden_path.conv1.weight'].shape[1]
            gates = []
            for gate in range(4):
                rows = slice(gate * channels, (gate + 1) * channels)
                from_x = gate_path(w, f'{name}.input_path', x, rows, stride, t)
                h = hidden.get(number, torch.zeros_like(from_x))
                gates.append(from_x + gate_path(w, f'{name}.hidden_path', h, rows, 1, t))
            i, f, o = (1 / (1 + torch.exp(-gate)) for gate in gates[:3])
            cell[number] = f * cell.get(number, 0.0) + i * torch.tanh(gates[3])
            x = hidden[number] = o * torch.tanh(cell[number])
        outputs.append(x.clamp(min=0))
    return outputs


def gate_path(w, name, x, rows, stride, t):
    """One gate's convolutions, cut out of those of all four."""

    def layer(number, x, stride=1):
        bias = w.get(f'{name}.conv{number}.bias')
        x = F.conv2d(x, w[f'{name}.conv{number}.weight'][rows], None if bias is None else bias[rows], stride, 1)
        own = {f'n.{key}': w[f'{name}.bn{number}.{key}'][rows] for key in ('weight', 'bias')}
        if t == 0:
            own.update({f'n.{key}': w[f'{name}.bn{number}.{key}'][rows] for key in ('running_mean', 'running_var')})
        else:
            own.update(
                {
                    f'n.{key}': w[f'{name}.bn{number}.iterates.{key}'][t - 1][rows]
                    for key in ('running_mean', 'running_var')
                }
            )
        return norm(own, 'n', x)

    z = layer(2, layer(1, x, stride).clamp(min=0))
    shortcut = torch.zeros_like(z)
    shortcut[:, : x.shape[1]] = x[:, :, ::stride, ::stride]
    return layer(3, (z + shortcut).clamp(min=0))


def conv_rnn(w, x, steps):
    """Unrolled in time as in the paper: a layer gets what the layer before gave one step earlier; nothing before
    that."""
    layers = [
        (None, True),
        (None, False),
        (None, False),
        (True, True),
        (True, False),
        (True, True),
        (True, True),
        (True, False),
        (True, False),
        (True, True),
    ]

    def elu(x):
        return torch.where(x > 0, x, torch.exp(x) - 1)

    def open_(x):
        return 1 - 1 / (1 + torch.exp(-x))

    given, state, outputs = [x] + [None] * 10, {}, []
    for _ in range(9 + steps):
        latest = [x]
        for number, (recurrent, pooled) in enumerate(layers):
            if given[number] is None:
                latest.append(None)
                continue
            y = conv(w, f'convs.{number}', given[number], 1 if number else 2)
            if recurrent:
                name = f'cells.{number}'
                into = conv(w, f'{name}.to_memory', y) if f'{name}.to_memory.weight' in w else y
                h, c = state.get(number, (torch.zeros_like(y), torch.zeros_like(into)))
                state[number] = (
                    elu(open_(conv(w, f'{name}.ch', c)) * y + open_(conv(w, f'{name}.hh', h)) * h),
                    elu(open_(conv(w, f'{name}.hc', h)) * into + open_(conv(w, f'{name}.cc', c)) * c),
                )
                y = state[number][0]
            else:
                y = elu(y)
            latest.append(F.max_pool2d(y, 2, ceil_mode=True) if pooled else y)
        given = latest
        if given[10] is not None:
            outputs.append(given[10])
    return outputs
