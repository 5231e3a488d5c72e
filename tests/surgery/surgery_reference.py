"""Small networks of every shape, and the recurrence written out as whole passes of the plain network.

The reference uses nothing of the package.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from tests.layers.reference import pooled_rows


def iterates(
    plain,
    args,
    blocks,
    linears,
    num_iterations,
    alpha,
    buffers=None,
    pool=None,
    layout='channel',
    channels_last=False,
    bound=None,
):
    """All iterates of the last block, each by a pass of the whole plain network with ``W + alpha * h(z)`` in it.

    In evaluation mode every sample has a pass of its own with its weights written into the network. In training mode,
    where batch norm joins the samples, the whole batch has one pass in which the dynamic layers run sample by sample.

    Args:
        blocks: ``{block: (paths of dynamic layers, path of the feedback)}`` in the order of their calls.
        linears: For each block the linear layers of ``h``.
        buffers: Function of a block and an iterate (from 0) that gives the buffers of its pass; default: those of
            ``plain``.

    Returns:
        The outputs, a list; and the buffers after each pass, ``{(block, iterate): buffers}``.
    """
    samples = len(args[0])
    weights = {
        path: [plain.get_submodule(path).weight.detach()] * samples for paths, _ in blocks.values() for path in paths
    }
    states = {}
    for (block, (paths, feedback)), own in zip(blocks.items(), linears):
        outputs = []
        for i in range(num_iterations):
            state = dict(plain.named_buffers()) if buffers is None else buffers(block, i)
            state = states[block, i] = {name: value.clone() for name, value in state.items()}
            seen = []
            handle = plain.get_submodule(feedback).register_forward_hook(lambda m, x, y: seen.append(y.clone()))
            if plain.training:
                outputs.append(_joint_pass(plain, args, weights, state))
            else:
                outputs.append(_pass_per_sample(plain, args, weights, state))
            handle.remove()
            if i + 1 == num_iterations:
                break
            z = torch.cat(seen)
            for path, linear in zip(paths, own):
                rows = len(weights[path][0])
                for n in range(samples):
                    values = pooled_rows(z[n].movedim(-1, 0) if channels_last else z[n], rows, pool, layout)
                    change = F.linear(values, linear.weight, linear.bias)
                    change = torch.tanh(change) if bound == 'tanh' else change
                    weights[path] = (
                        weights[path][:n]
                        + [weights[path][n] + alpha * change.reshape(weights[path][n].shape)]
                        + weights[path][n + 1 :]
                    )
    return outputs, states


def _pass_per_sample(plain, args, weights, state):
    outputs = []
    for n in range(len(args[0])):
        sample = tuple(a[n : n + 1] if isinstance(a, torch.Tensor) else a for a in args)
        written = {f'{path}.weight': weight[n] for path, weight in weights.items()}
        outputs.append(functional_call(plain, {**state, **written}, sample))
    return tree_map(lambda *tensors: torch.cat(tensors), *outputs)


def _joint_pass(plain, args, weights, state):

    def sample_by_sample(weight):

        def hook(layer, inputs, output):
            xs = inputs[0].chunk(len(weight))  # a sample's windows stand together
            if isinstance(layer, nn.Linear):
                return torch.cat([F.linear(x, w, layer.bias) for x, w in zip(xs, weight)])
            return torch.cat([layer._conv_forward(x, w, layer.bias) for x, w in zip(xs, weight)])

        return hook

    handles = [
        plain.get_submodule(path).register_forward_hook(sample_by_sample(weight), prepend=True)
        for path, weight in weights.items()
    ]
    output = functional_call(plain, state, args)
    for handle in handles:
        handle.remove()
    return output


class Residual(nn.Module):
    """Convolution, norm, activation, convolution, norm; the addition works in place."""

    def __init__(self, channels=4, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm(channels)
        self.act = nn.Tanh()
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1), norm(channels)

    def forward(self, x):
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        y += x
        return y


class Chain(nn.Module):
    """Stem, three residual blocks, a norm with an activation in place, and a classifier."""

    num_features = 4

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Tanh())
        self.layer1 = nn.Sequential(Residual(), Residual(), Residual())
        self.norm, self.act = nn.BatchNorm2d(4), nn.LeakyReLU(0.3, inplace=True)
        self.fc = nn.Linear(4, 2)

    def forward_features(self, x):
        return self.act(self.norm(self.layer1(self.stem(x))))

    def forward(self, x):
        return self.fc(self.forward_features(x).mean(dim=(2, 3)))


class Skip(nn.Module):
    """A skip from before the block to after it, one activation for all, and changes in place between modules."""

    def __init__(self, inplace=False):
        super().__init__()
        self.encoder, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.act, self.inplace = nn.Tanh(), inplace
        self.middle, self.decoder = Residual(), nn.Conv2d(8, 2, 1)
        self.last = nn.BatchNorm2d(2)

    def forward(self, x):
        skip = self.norm(self.encoder(x))
        if self.inplace:
            skip.mul_(2)
        else:
            skip = skip * 2
        y = self.act(self.middle(self.act(skip)))
        if self.inplace:
            skip += y
        else:
            skip = skip + y
        return self.last(self.decoder(torch.cat([skip, y], dim=1)))


class Iterated(nn.Module):
    """A list of blocks that is iterated, and a parameter of the network's own."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 4, 5, 5))
        self.stem, self.blocks = nn.Conv2d(3, 4, 1), nn.ModuleList([Residual() for _ in range(3)])
        self.norms = nn.ModuleDict({'last': nn.BatchNorm2d(4)})

    def forward(self, x):
        x = self.stem(x) + self.position
        for block in self.blocks:
            x = block(x)
        return self.norms['last'](x)


class Path(nn.Module):
    def __init__(self, channels, wider=0):
        super().__init__()
        self.conv, self.bn = nn.Conv3d(3, channels, (1, 3, 3), padding=(0, 1, 1)), nn.BatchNorm3d(channels)
        self.lateral = nn.Conv3d(2, 2, (3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0), bias=False)
        self.layer = nn.Sequential(
            nn.Conv3d(channels + wider, 4, (3, 1, 1), padding=(1, 0, 0), bias=False), nn.BatchNorm3d(4), nn.Tanh()
        )


class TwoPaths(nn.Module):
    """As SlowFast: two paths whose parts the network calls, with a lateral connection; paths are never called."""

    def __init__(self):
        super().__init__()
        self.slow, self.fast, self.fc = Path(4, wider=2), Path(2), nn.Linear(8, 3)

    def forward(self, x):
        slow, fast = self.slow.bn(self.slow.conv(x[:, :, ::2])), self.fast.bn(self.fast.conv(x))
        slow = self.slow.layer(torch.cat([slow, self.slow.lateral(fast)], dim=1))
        fast = self.fast.layer(fast)
        return self.fc(torch.cat([slow.mean(dim=(2, 3, 4)), fast.mean(dim=(2, 3, 4))], dim=1))


class Gated(nn.Module):
    """A block of several inputs and outputs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1, groups=2)
        self.gate = nn.Linear(3, 4)

    def forward(self, x, g, *, power=1):
        gate = torch.sigmoid(self.gate(g))[:, :, None] ** power
        return self.conv(x) * gate, gate


class SeveralInputs(nn.Module):
    """Two inputs, a dictionary with a tuple as output."""

    def __init__(self):
        super().__init__()
        self.embed, self.gated, self.bn = nn.Conv1d(2, 4, 1), Gated(), nn.BatchNorm1d(4)
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 3)])

    def forward(self, x, g, scale=1.0):
        y, gate = self.gated(self.embed(x), g, power=2)
        y = self.bn(y * scale).mean(dim=2)
        return {'logits': tuple(head(y) for head in self.heads), 'gate': gate}


class Windows(nn.Module):
    """Windows in the batch dimension, channels last, as in shifted-window transformers."""

    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.proj = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(4, 4)

    def forward(self, x):
        n, h, w, c = x.shape
        t = self.norm(x).reshape(n, h // 2, 2, w // 2, 2, c).transpose(2, 3).reshape(-1, 4, c)
        q, k, v = self.qkv(t).split((2, 2, 4), dim=-1)
        t = self.proj(torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v)
        return x + t.reshape(n, h // 2, w // 2, 2, 2, c).transpose(2, 3).reshape(n, h, w, c)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.blocks = nn.Conv2d(3, 4, 2, stride=2), nn.Sequential(Windows(), Windows(), Windows())
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.patch(x).movedim(1, -1))).mean(dim=(1, 2)))


class Case:
    """A network, its inputs, and the arguments that make some of its blocks recurrent."""

    def __init__(self, network, shapes, block, dynamic=None, feedback='', extra=(), pool=None, **options):
        self.network, self.shapes, self.block, self.extra, self.pool = network, shapes, block, extra, pool
        self.options = dict(alpha=0.3, num_iterations=3, **options)
        if pool is not None:
            self.options.update(zip(('pool_kernel', 'pool_stride', 'pool_padding'), pool))
        if dynamic is not None:
            self.options.update(dynamic=dynamic, feedback=feedback)

    def plain(self, training=False, seed=0):
        """The network, with running statistics that are not the initial ones."""
        torch.manual_seed(seed)
        network = self.network().double()
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 2)
        return network.train(training)

    def inputs(self, seed=1):
        torch.manual_seed(seed)
        tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in self.shapes]
        return (*tensors, *self.extra)

    def blocks(self, order=None):
        """What :func:`iterates` needs to know."""
        own = {self.block: self.options} if isinstance(self.block, str) else self.block
        result = {}
        for name in order or own:
            dynamic = own[name].get('dynamic', self.options.get('dynamic'))
            dynamic = [dynamic] if isinstance(dynamic, str) else dynamic
            feedback = own[name].get('feedback', self.options.get('feedback', ''))
            result[name] = [f'{name}.{d}' if d else name for d in dynamic], f'{name}.{feedback}' if feedback else name
        return result

    def reference(self, plain, args, linears, **kwargs):
        bound, layout = self.options.get('bound'), self.options.get('feedback_layout')
        return iterates(
            plain,
            args,
            self.blocks(),
            linears,
            self.options['num_iterations'],
            self.options['alpha'],
            pool=self.pool,
            channels_last=layout == 'channels_last',
            bound=bound,
            **kwargs,
        )


IMAGE = [(3, 3, 5, 5)]
CASES = {
    'first': Case(Chain, IMAGE, 'stem', '0', '1'),
    'middle': Case(Chain, IMAGE, 'layer1.1', ('conv1', 'conv2'), pool=((2, 2), (1, 1), (0, 0))),
    'middle, feedback within': Case(Chain, IMAGE, 'layer1.1', 'conv2', 'bn1', bound='tanh'),
    'last of its container': Case(Chain, IMAGE, 'layer1.2', 'conv1', 'act', pool=((3, 3), (1, 1), (1, 1))),
    'a container': Case(Chain, IMAGE, 'layer1', ('0.conv1', '2.conv2'), '1'),
    'a single convolution': Case(Chain, IMAGE, 'layer1.2.conv2', ''),
    'a layer before an activation in place': Case(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 1),
            nn.Tanh(),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.LeakyReLU(0.3, inplace=True),
            nn.BatchNorm2d(4),
        ),
        IMAGE,
        '2',
        '',
    ),
    'the classifier': Case(Chain, IMAGE, 'fc', ''),
    'three blocks': Case(
        Chain,
        IMAGE,
        {
            'stem': dict(dynamic='0'),
            'layer1.0': dict(dynamic=('conv1', 'conv2'), feedback='act'),
            'layer1.2': dict(dynamic='conv2', feedback='bn1'),
        },
    ),
    'skip, shared activation': Case(Skip, IMAGE, 'middle', 'conv1', 'bn2'),
    'skip, changes in place': Case(lambda: Skip(inplace=True), IMAGE, 'middle', 'conv1', 'bn2'),
    'iterated list': Case(Iterated, IMAGE, 'blocks.1', ('conv1', 'conv2'), 'act'),
    'two paths': Case(TwoPaths, [(3, 3, 4, 3, 3)], 'slow.layer', '0', pool=((2, 3, 3), (1, 1, 1), (0, 0, 0))),
    'several inputs and outputs': Case(SeveralInputs, [(3, 2, 6), (3, 3)], 'gated', ('conv', 'gate'), 'conv', (0.5,)),
    'windows': Case(
        Transformer,
        [(3, 3, 8, 8)],
        'blocks.1',
        ('qkv', 'proj'),
        feedback_layout='channels_last',
        pool=((2, 2), (2, 2), (0, 0)),
    ),
}
