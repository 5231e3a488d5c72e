"""Several processes that do one thing: rank 0 decides and reads, the others get what it has.

What rank 0 alone sees, such as a folder that the other machines do not have, is then the same
everywhere, and a failure ends all processes instead of leaving some to wait.
"""

import atexit
import hashlib
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Iterator, Optional
from unittest import mock

import torch
from mmengine.device import get_device
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, get_world_size
from mmengine.model import BaseTTAModel, MMDistributedDataParallel, is_model_wrapper
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner.checkpoint import _load_checkpoint

from kaizen_mm.folder_lock import locked_folder


def on_rank_zero(function: Callable, *args, **kwargs) -> Any:
    """What the function returns on rank 0, on all ranks. Every rank must call it.

    Raises:
        Exception: On rank 0 what the function raises, on the others a RuntimeError with its text.
    """
    if get_world_size() == 1:
        return function(*args, **kwargs)
    answer, own_error = [None, None], None
    if get_rank() == 0:
        try:
            answer[0] = function(*args, **kwargs)
        except Exception as error:
            own_error, answer[1] = error, f'{type(error).__name__}: {error}'
    broadcast_object_list(answer, src=0)
    if own_error is not None:
        raise own_error
    if answer[1] is not None:
        raise RuntimeError(f'rank 0 has stopped with {answer[1]}')
    return answer[0]


@contextmanager
def locked_on_rank_zero(folder: str, announce: Callable[[str], None]) -> Iterator[None]:
    """Rank 0 has locked a folder, see :func:`kaizen_mm.folder_lock.locked_folder`. Every rank must enter it."""
    with ExitStack() as stack:
        on_rank_zero(_enter, stack, folder, announce)
        yield


def _enter(stack: ExitStack, folder: str, announce) -> None:
    stack.enter_context(locked_folder(folder, announce))


def read_on_rank_zero(filename: str, map_location: Any, logger: Any) -> Any:
    """A checkpoint as mmengine reads it; of several processes rank 0 alone reads a local file, which a machine without
    rank 0's folder could not. Addresses with a scheme keep mmengine's own way.
    """
    if get_world_size() == 1 or '://' in str(filename):
        return _load_checkpoint(filename, map_location, logger)
    return on_rank_zero(_load_checkpoint, filename, 'cpu', logger)


@contextmanager
def gloo_without_gpu(env_cfg: dict) -> Iterator[dict]:
    """The environment for processes to find each other in: gloo where there is no accelerator.

    mmengine 0.10.7 calls ``torch.cuda.set_device`` in ``init_dist`` whatever the backend (``dist/utils.py``). It never
    ends the process group, and gloo's threads now and then abort a process that ends with it
    (https://github.com/pytorch/pytorch/pull/179291).
    """
    if get_device() != 'cpu':
        yield env_cfg
        return
    with mock.patch.object(torch.cuda, 'set_device', lambda device: None):
        yield {**env_cfg, 'dist_cfg': {**env_cfg.get('dist_cfg', {}), 'backend': 'gloo'}}
    if get_world_size() > 1:
        atexit.register(_destroy_process_group)


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@MODEL_WRAPPERS.register_module(force=True)
class CpuDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's ``MMDistributedDataParallel`` without ``device_ids``, which its runner gives on a CPU as well."""

    def __init__(self, module, *args, **kwargs):
        kwargs['device_ids'] = None
        super().__init__(module, *args, **kwargs)


def wrapper_config(given: Optional[dict], find_unused_parameters: bool) -> Optional[dict]:
    """``model_wrapper_cfg`` of a runner; where there is no accelerator, with the wrapper that needs none."""
    if get_device() != 'cpu':
        return given
    wrapper = dict(given or dict(broadcast_buffers=False, find_unused_parameters=find_unused_parameters))
    stock = 'MMDistributedDataParallel'
    if wrapper.get('type', stock) in (stock, f'mmengine.{stock}', MMDistributedDataParallel):
        wrapper['type'] = CpuDistributedDataParallel.__name__
    return wrapper


def check_same_weights(model: torch.nn.Module) -> None:
    """Compares the parameters and buffers of all processes, to the bit.

    Raises:
        RuntimeError: They differ; on every rank, with the ranks that differ from rank 0.
    """
    if get_world_size() == 1:
        return
    model = unwrapped(model)
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    digests = all_gather_object(digest.hexdigest())
    different = [rank for rank, other in enumerate(digests) if other != digests[0]]
    if different:
        raise RuntimeError(
            f'ranks {different} of {len(digests)} would start from other weights than rank 0; all must '
            'run the same code and config, and read the same files'
        )


def unwrapped(model):
    """The model inside the wrappers that distributed training and tests on several views put around it; any other as
    it is."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
