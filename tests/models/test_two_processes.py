"""MFNet in two processes under DistributedDataParallel: the weights of one process, and what is exchanged for them."""

import copy
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.nn.parallel import DistributedDataParallel

from kaizen_mm.losses import KaizenLoss
from kaizen_mm.models import mfnet3d

SIZE = (10, 65, 65)


class Training(nn.Module):
    """A network of three iterations whose forward is the loss of eq. 5.

    Batch norm has the running statistics of evaluation, or the clips of the processes would not be seen together.
    """

    def __init__(self):
        super().__init__()
        narrow = dict(widths=(16, 32, 32, 64), units=(1, 1, 1, 2), groups=4)
        self.network = mfnet3d(num_classes=101, num_iterations=3, input_size=SIZE, **narrow).double()
        self.loss = KaizenLoss()
        for part in self.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()

    def forward(self, x, target):
        return self.loss(self.network.forward_iterates(x), target)


def step(module, run, x, target):
    """The weights after a step of SGD."""
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    run(x, target).backward()
    optimizer.step()
    return [p.detach().clone() for p in module.parameters()]


def one_process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    torch.manual_seed(0)
    together = Training()
    alone, start = copy.deepcopy(together), [p.detach().clone() for p in together.parameters()]
    x, target = torch.randn(2, 3, *SIZE, dtype=torch.float64), torch.arange(2)
    sent = dict(gradients=0, all=0)
    wrapped, all_reduce = DistributedDataParallel(together, broadcast_buffers=False), dist.all_reduce

    def gradients(state, bucket):
        sent['gradients'] += bucket.buffer().nbytes
        return default_hooks.allreduce_hook(None, bucket)

    def counted(tensor, *arguments, **kwargs):  # the gradients' reduction comes this way as well
        sent['all'] += tensor.nbytes
        return all_reduce(tensor, *arguments, **kwargs)

    wrapped.register_comm_hook(None, gradients)
    with mock.patch.object(dist, 'all_reduce', counted):
        found = step(together, wrapped, x[rank : rank + 1], target[rank : rank + 1])
    with mock.patch.object(dist, 'is_initialized', return_value=False):
        wanted = step(alone, alone, x, target)
    change = max((one - before).abs().max() for one, before in zip(wanted, start))
    difference = max((one - other).abs().max() for one, other in zip(found, wanted)) / change
    trained = sum(p.nbytes for p in together.parameters() if p.requires_grad)
    torch.save(dict(sent, trained=trained, difference=difference.item()), f'{folder}/{rank}.pt')
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(tmp_path):
    multiprocessing.spawn(one_process, (tmp_path,), 2)
    for rank in (0, 1):
        found = torch.load(tmp_path / f'{rank}.pt')
        assert found['difference'] < 1e-9
        assert found['gradients'] == found['trained'] > 0  # W_1 is frozen
        assert found['all'] - found['gradients'] == 16  # the hinges of two pairs of iterates, in float64
