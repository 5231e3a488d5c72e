"""Two processes: what rank 0 does reaches both, and so does what goes wrong."""

import socket

import pytest
import torch
from mmengine.dist import get_rank

from kaizen_mm.openmmlab.processes import check_same_weights, on_rank_zero, read_on_rank_zero


def work(rank: int, port: int, folder: str) -> None:
    torch.distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    assert on_rank_zero(lambda: dict(rank=get_rank(), tensor=torch.ones(2)))['rank'] == 0

    def fail():
        raise ValueError('no such checkpoint')

    with pytest.raises(ValueError if rank == 0 else RuntimeError, match='no such checkpoint'):
        on_rank_zero(fail)

    # a file that only the first machine has
    if rank == 0:
        torch.save(dict(weight=torch.arange(3)), f'{folder}/rank_0.pth')
    path = f'{folder}/rank_{rank}.pth'
    assert read_on_rank_zero(path, 'cpu', None)['weight'].tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError if rank == 0 else RuntimeError, match='missing.pth'):
        read_on_rank_zero(f'{folder}/missing.pth', 'cpu', None)

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    check_same_weights(net)
    net[1].running_mean[1] += 1e-6 * rank
    with pytest.raises(RuntimeError, match=r'ranks \[1\] of 2 would start from other weights than rank 0'):
        check_same_weights(net)
    torch.distributed.barrier()


@pytest.mark.slow
def test_two_processes(tmp_path):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, str(tmp_path)), nprocs=2)


def test_one_process_does_it_itself():
    assert on_rank_zero(lambda value: value + 1, 2) == 3
    with pytest.raises(KeyError):
        on_rank_zero(dict().__getitem__, 'a')
    check_same_weights(torch.nn.Linear(1, 1))
