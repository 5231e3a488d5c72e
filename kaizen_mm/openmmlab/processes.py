"""Several processes that do one thing: rank 0 decides and reads, the others get what it has.

What rank 0 alone sees, such as a folder that the other machines do not have, is then the same
everywhere, and a failure ends all processes instead of leaving some to wait.
"""

import functools
import hashlib
from typing import Any, Callable

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, get_world_size
from mmengine.model import is_model_wrapper


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


def read_checkpoints_on_rank_zero() -> None:
    """Where there are several processes, mmengine's runner gets local checkpoints from rank 0.

    mmengine 0.10.7 has every process read the file itself, which a machine without rank 0's folder cannot.
    Addresses with a scheme keep mmengine's own way.
    """
    from mmengine.runner import runner

    if hasattr(runner._load_checkpoint, '__wrapped__'):
        return
    load = runner._load_checkpoint

    @functools.wraps(load)
    def load_checkpoint(filename, map_location=None, logger=None):
        if get_world_size() == 1 or '://' in str(filename):
            return load(filename, map_location, logger)
        return on_rank_zero(load, filename, 'cpu', logger)

    runner._load_checkpoint = load_checkpoint


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
    """The model inside the wrapper that distributed training puts around it; any other as it is."""
    return model.module if is_model_wrapper(model) else model
