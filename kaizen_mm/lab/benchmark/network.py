"""``network`` and ``train``: whole networks in inference, and in a step of training with its memory."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from kaizen_mm.losses import KaizenLoss

from .conditions import Conditions, chosen
from .counting import peak_memory
from .networks import NETWORKS, QUICK_NETWORKS, NetworkCase, build
from .passes import compare, passes
from .units import check_equal
from .versions import Version, this_version


def measure(
    how: Conditions, train: bool, cases: Iterable[str] | None = None, before: Version | None = None
) -> Iterable[dict[str, Any]]:
    """The records of all cases, one by one.

    Args:
        how: Conditions.
        train: A step of training (forward, loss of eq. 5, backward, AdamW) in the place of inference.
        cases: Names of :data:`~kaizen_mm.lab.benchmark.networks.NETWORKS`; None for all.
        before: An earlier state of the package.

    Raises:
        ValueError: There is no such case.
        RuntimeError: Two sides do not compute the same.
    """
    networks = QUICK_NETWORKS if how.quick else NETWORKS
    for name in chosen(networks, cases):
        case = networks[name]
        modules = build(case, this_version(), before)
        first, *others = [key for key in modules if key != 'plain']
        check_equal(modules[first], {key: modules[key] for key in others}, (2, 3, *case.size))
        x = torch.randn(case.batch, 3, *case.size)
        loss = _loss(case.batch, how) if train else None
        # what is compared with the original implementation is what a user gets who does nothing
        plain_layout = case.iterations is None
        conditions = Conditions(**{**vars(how), 'layout': 'contiguous'}) if plain_layout else how
        sides = [passes(key, module, x, train, conditions, loss=loss) for key, module in modules.items()]
        if not train and case.iterations is not None:
            sides.append(passes('ours, all iterates', modules['ours'], x, train, conditions, forward=_all_iterates))
        if how.compile:
            sides.append(passes('ours, compiled', modules['ours'], x, train, conditions, compiled=True, loss=loss))
        for record in compare(sides, conditions, case.batch):
            yield dict(
                case=case.title,
                batch=case.batch,
                K=case.iterations or 1,
                work='train step' if train else 'inference',
                **conditions.describe(),
                **record,
            )


def _all_iterates(side: Any, x: Tensor):
    return side.network.forward_iterates(x)


def _loss(batch: int, how: Conditions):
    loss, target = KaizenLoss(), (torch.arange(batch) % 101).to(how.device)

    def of_outputs(outputs: Iterable[Tensor]) -> Tensor:
        return loss(tuple(outputs), target)

    return of_outputs


def memory(how: Conditions, case: NetworkCase | None = None, most_iterations: int = 4) -> Iterable[dict[str, Any]]:
    """Peak memory of a step of training for K = 1 .. ``most_iterations``, with and without gradient checkpointing.

    K = 1 is the plain network.
    """
    case = case or (QUICK_NETWORKS['mfnet3d_narrow'] if how.quick else NETWORKS['mfnet3d_n9_224'])
    models = this_version().models
    x, loss = torch.randn(case.batch, 3, *case.size), _loss(case.batch, how)
    for checkpointing in (False, True):
        for k in range(1, most_iterations + 1):
            network = getattr(models, case.network)(
                num_classes=101, num_iterations=k, input_size=case.size, **case.kwargs
            )
            network.grad_checkpointing = checkpointing
            side = passes('ours', network, x, True, how, loss=loss, forward=lambda net, x: net.forward_iterates(x))
            yield dict(
                case=case.title,
                batch=case.batch,
                K=k,
                checkpointing=checkpointing,
                **how.describe(),
                peak_mib=round(peak_memory(side.call, how.device, side.after) / 2**20, 2),
            )
