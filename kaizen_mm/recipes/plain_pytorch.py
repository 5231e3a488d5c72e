"""Training in plain PyTorch: the loss of all iterates, averaged weights, and resuming.

Battash & Wolf, arXiv:1910.11105, section 3. One loop trains phase one (a plain network, whose loss is the cross
entropy), phase two (a recurrent one, whose ``W_1`` is frozen) and a recurrent one from the start:

    plain = train(plain, batches, 'work/phase_one.pth', 30, torch.optim.AdamW(parameter_groups(plain, 1e-3)))
    net = RecurrentNetwork(plain, 'layer4', images, 'conv1', pool_kernel=4)
    net = train(net, batches, 'work/phase_two.pth', 10, torch.optim.AdamW(parameter_groups(net, 5e-4, rate_of_h=0.1)))

It runs in one process. What OpenMMLab's configs have beyond it: several processes, mixed precision, logs, validation.
"""

import math
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Union

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from kaizen_mm.arguments import check_int, check_number
from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.files import whole_file
from kaizen_mm.folder_lock import locked_folder
from kaizen_mm.layers import recurrent_blocks
from kaizen_mm.losses import KaizenLoss


def train(
    network: nn.Module,
    batches: Union[DataLoader, Sequence],
    checkpoint: Union[str, Path],
    epochs: int,
    optimizer: torch.optim.Optimizer,
    loss: Optional[KaizenLoss] = None,
    decay: float = 0.999,
    seed: int = 0,
    after_epoch: Callable[[int, float, nn.Module], Any] = lambda epoch, loss, average: None,
) -> nn.Module:
    """Trains a network, in place; goes on from ``checkpoint`` where that is there, to the same weights.

    Learning rates fall along a cosine to 0. Each epoch seeds torch's random state anew, so that a training that is
    taken up again sees the batches that it would have seen.

    Args:
        network: Its ``forward_iterates`` gives the logits of all iterates, ``[N, C]`` each; without one, it is plain.
        batches: Of inputs ``[N, ...]`` and labels ``[N]``; they are brought to the network's device.
        checkpoint: File that is written whole after each epoch.
        epochs: How many in all, those before a resumption included.
        optimizer: Over what is to be trained, such as over :func:`parameter_groups`.
        loss: Default ``KaizenLoss()``; to train a recurrent network from the start, ``KaizenLoss(gamma_first=1)``.
        decay: Of the moving average of weights and statistics; after n steps at most ``(1 + n) / (10 + n)``. Default
            0.999; 0 gives the last weights.
        seed: Of the first epoch; the next has the next one. Default 0.
        after_epoch: Called with the epoch's number, from 0, its mean loss and the averaged network.

    Returns:
        The averaged network, in evaluation mode.

    Raises:
        ValueError: An argument that cannot be used; a checkpoint that is damaged, of another network or of another
            training. It stays as it is.
        FloatingPointError: The loss is not finite; the checkpoint is that of the epoch before.
        FolderInUse: Another process trains in the checkpoint's folder.
    """
    check_int('epochs', epochs)
    check_int('seed', seed, 0)
    check_number('decay', decay, 0, 1)
    if not hasattr(batches, '__len__') or not len(batches):
        raise ValueError('batches must be a DataLoader, or a list, of at least one batch')
    if getattr(batches, 'persistent_workers', False):
        raise ValueError('batches must have persistent_workers=False: what such workers draw cannot be resumed')
    path, device = Path(checkpoint), next(network.parameters()).device
    loss = (KaizenLoss() if loss is None else loss).to(device)
    iterates = getattr(network, 'forward_iterates', lambda x: (network(x),))
    settings = dict(epochs=epochs, batches=len(batches), decay=decay, seed=seed, loss=repr(loss))
    settings['iterations'] = [block.num_iterations for _, block in recurrent_blocks(network)]
    settings['rates'] = [[float(group['lr']), float(group.get('weight_decay', 0))] for group in optimizer.param_groups]
    schedule = CosineAnnealingLR(optimizer, epochs * len(batches))
    average = AveragedModel(network, avg_fn=lambda a, b, n: _moved(a, b, decay, int(n)), use_buffers=True)
    parts = dict(network=network, average=average, optimizer=optimizer, schedule=schedule)
    with locked_folder(path.parent):
        start = _resume(path, parts, settings) if path.exists() else 0
        for epoch in range(start, epochs):
            torch.manual_seed(seed + epoch)
            if getattr(batches, 'generator', None) is not None:
                batches.generator.manual_seed(seed + epoch)
            network.train()
            total = torch.zeros((), device=device)
            for inputs, labels in batches:
                optimizer.zero_grad()
                value = loss(iterates(inputs.to(device)), labels.to(device))
                value.backward()
                optimizer.step()
                schedule.step()
                average.update_parameters(network)
                total += value.detach()
            mean = total.item() / len(batches)
            if not math.isfinite(mean):
                raise FloatingPointError(f'the loss of epoch {epoch} is {mean}; {path} is as the epoch before left it')
            state = {name: part.state_dict() for name, part in parts.items()}
            with whole_file(path) as file:
                torch.save(dict(state, settings=settings, epoch=epoch), file)
            after_epoch(epoch, mean, average.module.eval())
    return average.module.eval()


def parameter_groups(
    network: nn.Module, rate: float, rate_of_h: Optional[float] = None, weight_decay: float = 0.0
) -> List[Dict[str, Any]]:
    """Groups for an optimizer: ``h`` without weight decay and with a rate of its own, and the rest that trains.

    Args:
        network: Any; frozen parameters are left out, so ``W_1`` in phase two.
        rate: Of the rest.
        rate_of_h: Default ``rate``, which the global adapter takes. The paper's needs an optimizer such as Adam, and
            0.1 was taken in phase two of the results here.
        weight_decay: Of the rest. Default 0.
    """
    h = {id(p) for _, block in recurrent_blocks(network) for name, p in block.named_parameters() if 'adapter.' in name}
    trained = [p for p in network.parameters() if p.requires_grad]
    rates = dict(lr=rate if rate_of_h is None else rate_of_h, weight_decay=0.0)
    groups = [dict(params=[p for p in trained if id(p) not in h], lr=rate, weight_decay=weight_decay)]
    return groups + [dict(params=[p for p in trained if id(p) in h], **rates)] if h else groups


@torch.no_grad()
def accuracy(network: nn.Module, batches: Union[DataLoader, Sequence]) -> Tensor:
    """Top-1 of every iterate in percent, ``[K]``; the network is put into evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    iterates = getattr(network, 'forward_iterates', lambda x: (network(x),))
    right, samples = torch.zeros(1), 0
    for inputs, labels in batches:
        predicted = torch.stack(iterates(inputs.to(device))).argmax(dim=2).cpu()  # [K, N, C] -> [K, N]
        right, samples = right + (predicted == labels).sum(dim=1), samples + len(labels)
    if not samples:
        raise ValueError('batches must have at least one sample, got none')
    return 100 * right / samples


def _moved(average: Tensor, value: Tensor, decay: float, step: int) -> Tensor:
    if not value.is_floating_point():
        return value
    moved = average.lerp(value, 1 - min(decay, (1 + step) / (10 + step)))
    return torch.where(average == value, value, moved)  # such as the -inf of a mask


def _resume(path: Path, parts: Dict[str, Any], settings: Dict[str, Any]) -> int:
    """Puts a checkpoint into the parts of a training; returns the epoch to begin with."""
    saved = read_checkpoint(path)
    missing = {*parts, 'settings', 'epoch'} - saved.keys()
    if missing:
        raise ValueError(f'checkpoint: {path} was not written by this recipe, it has no {sorted(missing)}')
    for name, value in settings.items():
        if saved['settings'].get(name) != value:
            raise ValueError(
                f'{name}: {path} is of a training with {saved["settings"].get(name)!r}, got {value!r}; '
                'take the same, or another file'
            )
    for name, part in parts.items():
        try:
            part.load_state_dict(saved[name])
        except (ValueError, RuntimeError, KeyError) as error:
            raise ValueError(f'{name}: {path} is of another one: {error}') from error
    return saved['epoch'] + 1
