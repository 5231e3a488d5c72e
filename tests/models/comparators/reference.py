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
    shape = (1, -1) + (1,) * (x.dim() - 2)
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
    """As the release is described: a graph of nodes that all run at every step of time on what the nodes before gave
    one step earlier, zeros at the first step; conv1 gets the image. The classifier is the eleventh node, and sees what
    conv10 gave one step earlier."""
    recurrent = {4, 5, 6, 7, 8, 9, 10}
    pooled = {1, 4, 6, 7, 10}

    def elu(x):
        return torch.where(x > 0, x, torch.exp(x) - 1)

    def open_(x):
        return 1 - 1 / (1 + torch.exp(-x))

    def same(x, kernel, stride, value=0.0):
        """TensorFlow's SAME: as many outputs as inputs over the stride, rounded up, and the odd zero behind."""
        needed = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]]
        (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in needed)
        return F.pad(x, (left, right, top, bottom), value=value)

    def node(number, x, state):
        name = f'convs.{number - 1}'
        kernel, stride = (7, 2) if number == 1 else (3, 1)
        y = F.conv2d(same(x, kernel, stride), w[f'{name}.weight'], w[f'{name}.bias'], stride)
        if number in recurrent:
            name = f'cells.{number - 1}'
            into = conv(w, f'{name}.to_memory', y) if f'{name}.to_memory.weight' in w else y
            h, c = (torch.zeros_like(y), torch.zeros_like(into)) if state is None else state
            y, c = (
                elu(open_(conv(w, f'{name}.ch', c)) * y + open_(conv(w, f'{name}.hh', h)) * h),
                elu(open_(conv(w, f'{name}.hc', h)) * into + open_(conv(w, f'{name}.cc', c)) * c),
            )
            state = y, c
        else:
            y = elu(y)
        if number in pooled:
            y = F.max_pool2d(same(y, 2, 2, -float('inf')), 2)
        return y, state

    numbers = range(1, 11)
    shapes, y = {0: x.shape}, x
    for number in numbers:
        y, _ = node(number, y, None)
        shapes[number] = y.shape
    states = dict.fromkeys(numbers)
    earlier = {number: torch.zeros(shapes[number]) for number in numbers}  # what stands in at the first step
    seen = []
    for _ in range(10 + steps):
        seen.append(earlier[10])  # by the classifier, at this step
        now = {}
        for number in numbers:
            now[number], states[number] = node(number, x if number == 1 else earlier[number - 1], states[number])
        earlier = now
    return seen[10:]


def resnet18_3d(w, x):
    """Hara's network by the layers that its release lists, with shortcuts of type B and a first stride of 1 in time;
    ``w`` has mmaction2's names. The maps of layer4."""

    def conv3d(name, x, stride, padding):
        return F.conv3d(x, w[f'{name}.conv.weight'], None, stride, padding)

    x = norm(w, 'conv1.bn', conv3d('conv1', x, (1, 2, 2), 3)).clamp(min=0)
    x = F.max_pool3d(x, kernel_size=3, stride=2, padding=1)
    for layer in range(1, 5):
        for block in range(2):
            name, stride = f'layer{layer}.{block}', 2 if layer > 1 and block == 0 else 1
            z = norm(w, f'{name}.conv1.bn', conv3d(f'{name}.conv1', x, stride, 1)).clamp(min=0)
            z = norm(w, f'{name}.conv2.bn', conv3d(f'{name}.conv2', z, 1, 1))
            if stride == 2:
                x = norm(w, f'{name}.downsample.bn', conv3d(f'{name}.downsample', x, 2, 0))
            x = (x + z).clamp(min=0)
    return x
