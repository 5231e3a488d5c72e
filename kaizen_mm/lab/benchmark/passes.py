"""Forward and backward passes as sides of a comparison, with what each costs."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conditions import Conditions
from .counting import multiply_adds, peak_memory
from .timing import Side, Times, interleaved, ratio, summary


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
        train: Whether the pass is one of training.
        how: Conditions.
        compiled: Whether ``torch.compile`` compiles it.
        loss: Of the outputs, followed by a step of AdamW; None for a fixed gradient of each output.
        forward: What is called in place of the module, given the module that was placed and the input.
    """
    module = how.place(copy.deepcopy(module)).train(train)
    x = how.place(x).requires_grad_(train and loss is None)
    run = (lambda x: forward(module, x)) if forward else module
    run = torch.compile(run, dynamic=False) if compiled else run
    gradients: list[Tensor] = []
    optimizer = (
        torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-5) if loss and train else None
    )

    def infer():
        with torch.inference_mode(), how.autocast():
            return run(x)

    def step():
        with how.autocast():
            outputs = run(x)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        if loss is not None:
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


def products(how: Conditions, channels: int = 768) -> tuple[dict[str, Side], int]:
    """One product of matrices in the two ways that networks make them: by ``torch.mm``, and as a convolution of points.

    They are of different libraries on a CPU, whose rates can differ by a factor of two.

    Returns:
        The sides by name, and their multiply-adds.
    """
    batch, side = (512, 16) if how.device == 'cuda' else (32, 7)
    x = how.place(torch.randn(batch, channels, side, side)).to(how.dtype())
    weight = how.place(torch.randn(channels, channels, 1, 1)).to(how.dtype())
    rows = torch.randn(batch * side**2, channels, device=how.device, dtype=how.dtype())
    return {
        'torch.mm': Side('torch.mm', lambda: torch.mm(rows, weight[:, :, 0, 0])),
        'convolution': Side('convolution', lambda: F.conv2d(x, weight)),
    }, batch * side**2 * channels**2


def compare(
    sides: Sequence[Side], how: Conditions, items: int, memory: bool = True, count: bool = True
) -> list[dict[str, Any]]:
    """Measures sides in turn, and beside them what rate matrix products have.

    Args:
        sides: The sides.
        how: Conditions.
        items: Clips or images in one call.
        memory: Whether peak memory is looked at. Default True.
        count: Whether multiply-adds are counted. Default True; a compiled side's are not.

    Returns:
        For each side its record: name, times per call and item in ms, ratios to all other sides, multiply-adds, share
        of the rate of the faster matrix product, peak memory in MiB.
    """
    references, amount = products(how, 64 if how.quick else 768)
    times = interleaved([*sides, *references.values()], how.seconds, how.device, how.least_rounds())
    kind = 'wall' if how.device == 'cuda' else 'cpu'
    rates = {name: amount / summary(getattr(times.pop(name), kind))['median'] for name in references}
    return [_record(side, times, kind, rates, how, items, memory, count) for side in sides]


def _record(
    side: Side,
    times: dict[str, Times],
    kind: str,
    rates: dict[str, float],
    how: Conditions,
    items: int,
    memory: bool,
    count: bool,
):
    own = times[side.name]
    record: dict[str, Any] = dict(side=side.name, rounds=len(own.cpu), items=items, ratios={})
    for name in ('cpu', 'wall'):
        record[f'{name}_ms'] = {key: round(1e3 * value, 3) for key, value in summary(getattr(own, name)).items()}
    record['ms_per_item'] = round(record[f'{kind}_ms']['median'] / items, 4)
    for name, other in times.items():
        if name != side.name:
            record['ratios'][name] = {
                key: round(value, 4) for key, value in ratio(getattr(own, kind), getattr(other, kind)).items()
            }
    record['product_rates'] = {
        name: round(rate / 1e9, 2) for name, rate in rates.items()
    }  # 10^9 multiply-adds a second
    compiled = side.name.endswith('compiled')
    if count and not compiled:
        record['multiply_adds'] = multiply_adds(side.call)
        side.after()
        record['share_of_product_rate'] = round(
            record['multiply_adds'] / (record[f'{kind}_ms']['median'] / 1e3) / max(rates.values()), 4
        )
    if memory:
        record['peak_mib'] = round(peak_memory(side.call, how.device, side.after) / 2**20, 2)
        side.after()
    return record
