"""Forward and backward passes as sides of a comparison: that they compute the same, and what each costs."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kaizen_mm.lab.counting import multiply_adds, peak_memory
from kaizen_mm.losses import KaizenLoss

from .conditions import Conditions
from .timing import Side, interleaved, ratio, summary


def outputs_of(module: Any, x: Tensor) -> Sequence[Tensor]:
    """Those of every iterate of a module in training mode; a plain module has one."""
    found = module.forward_iterates(x) if hasattr(module, 'forward_iterates') else module(x)
    return found if isinstance(found, (tuple, list)) else (found,)


def loss_of(outputs: Iterable[Tensor]) -> Tensor:
    """That of eq. 5, the classes being those that there are in turn."""
    iterates = tuple(outputs)
    samples, classes = iterates[0].shape
    return KaizenLoss()(iterates, torch.arange(samples, device=iterates[0].device) % classes)


def check_equal(plain: nn.Module, recurrent: nn.Module, shape: Sequence[int], tolerance: float = 1e-9) -> None:
    """Raises RuntimeError unless the first iterate is the plain module: output and gradient of the input, in training
    mode and in float64.

    Args:
        plain, recurrent: The two modules.
        shape: Of the input.
        tolerance: Largest difference, of the largest absolute value. Default 1e-9.
    """
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    check_close('recurrent', _first_iterate(recurrent, x), _first_iterate(plain, x), tolerance)


def check_close(name: str, found: Iterable[Tensor], wanted: Iterable[Tensor], tolerance: float = 1e-9) -> None:
    """Raises RuntimeError where tensors of a side differ from those it is compared with."""
    for one, other in zip(found, wanted, strict=True):
        difference = (one - other).abs().max() / other.abs().max()
        if not difference <= tolerance:
            raise RuntimeError(
                f'{name} does not compute what it is compared with: a difference of {difference:.1e} of the largest '
                'value'
            )


def _first_iterate(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    module = copy.deepcopy(module).cpu().double().train()
    x = x.clone().requires_grad_()
    y = outputs_of(module, x)[0]
    y.backward(torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1)))
    assert x.grad is not None
    return y.detach(), x.grad


def passes(
    name: str,
    module: nn.Module,
    x: Tensor,
    train: bool,
    how: Conditions,
    compiled: bool = False,
    loss: Callable | None = None,
    forward: Callable | None = None,
) -> Side:
    """A side that runs a module forward, and in training backward with a fixed gradient or from a loss.

    Args:
        name: Of the side.
        module: It is copied, placed and set to training or evaluation.
        x: Input, without gradient.
        train: Whether the pass is one of training, of all iterates.
        how: Conditions.
        compiled: Whether ``torch.compile`` compiles it.
        loss: Of the outputs, followed by a step of AdamW; None for a fixed gradient of each output.
        forward: What is called in place of the module, given the module that was placed and the input.
    """
    module = how.place(copy.deepcopy(module)).train(train)
    x = how.place(x).requires_grad_(train and loss is None)
    forward = forward or (outputs_of if train else lambda module, x: module(x))

    def call(x: Tensor):
        return forward(module, x)

    run = torch.compile(call, dynamic=False) if compiled else call
    gradients: list[Tensor] = []
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-5) if loss else None

    def infer():
        with torch.inference_mode(), how.autocast():
            return run(x)

    def step():
        with how.autocast():
            outputs = run(x)
        if loss is not None and optimizer is not None:
            loss(outputs).backward()
            optimizer.step()
            return
        if not gradients:
            gradients.extend(torch.randn_like(y) for y in outputs)
        torch.autograd.backward(outputs, gradients)

    def forget():
        module.zero_grad(set_to_none=True)
        x.grad = None

    return Side(name, step, forget) if train else Side(name, infer)


def compare(sides: Sequence[Side], how: Conditions, items: int, memory: bool = True) -> list[dict[str, Any]]:
    """Measures sides in turn.

    Args:
        sides: The sides, that of the plain module first.
        how: Conditions.
        items: Clips or images in one call.
        memory: Whether peak memory is looked at. Default True.

    Returns:
        For each side its record: name, times of a call in ms, that of an item, the ratio to the plain module's, peak
        memory in MiB, and multiply-adds unless it is compiled. The ratio is of CPU time; on a GPU of time on the wall.
    """
    times = interleaved(sides, how.seconds, how.device, how.rounds)
    kind = 'wall' if how.device == 'cuda' else 'cpu'
    records = []
    for side in sides:
        own = times[side.name]
        record: dict[str, Any] = dict(side=side.name, rounds=len(own.cpu))
        for name in ('cpu', 'wall'):
            record[f'{name}_ms'] = summary([1e3 * seconds for seconds in getattr(own, name)])
        record['ms_per_item'] = round(record[f'{kind}_ms']['median'] / items, 4)
        record['time_over_plain'] = ratio(getattr(own, kind), getattr(times[sides[0].name], kind))
        if not side.name.endswith('compiled'):
            record['multiply_adds'] = multiply_adds(side.call)
            side.after()
        if memory:
            record['peak_mib'] = round(peak_memory(side.call, how.device, side.after) / 2**20, 2)
            side.after()
        records.append(record)
    return records
