"""Trainings that diverge stop at once and leave nothing that could be taken for a result."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from kaizen_mm.checkpoint_files import not_finite


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a training at the first loss that is NaN or infinite, and keeps weights that are so out of checkpoints.

    mmengine logs losses as they are, and by the next validation all checkpoints that it keeps may be of a
    network that is no more. In mixed precision too the loss is finite in a training that goes well, as
    only gradients are scaled.

    Raises:
        FloatingPointError: The loss of an iteration is not finite, or a weight is not when it is to be saved.
        ValueError: A weight of a checkpoint that is loaded is not finite.
    """

    priority = 'ABOVE_NORMAL'  # before the hook that saves checkpoints

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        names = not_finite(checkpoint.get('state_dict', checkpoint))
        if names:
            raise ValueError(
                f'checkpoint {runner._load_from or "that is loaded"} is of a training that diverged: {names[:3]} are '
                'not finite; use an earlier one'
            )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        losses = {
            name: float(value.detach() if torch.is_tensor(value) else value)
            for name, value in (outputs if isinstance(outputs, dict) else {}).items()
            if 'loss' in name and (not torch.is_tensor(value) or value.numel() == 1)
        }
        if all(math.isfinite(value) for value in losses.values()):
            return
        values = ', '.join(f'{name} {value:.4g}' for name, value in losses.items())
        raise FloatingPointError(
            f'the loss is not finite in iteration {runner.iter + 1} (epoch {runner.epoch + 1}): {values}. '
            + _advice(runner)
        )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        names = not_finite(checkpoint['state_dict'])
        if names:
            raise FloatingPointError(
                f'{len(names)} weights are not finite after iteration {checkpoint["meta"]["iter"]} '
                f'(epoch {runner.epoch + 1}), {names[:3]}: they are not saved. ' + _advice(runner)
            )


def _advice(runner) -> str:
    rates = sorted(
        {
            f'{rate:.3g}'
            for values in runner.optim_wrapper.get_lr().values()
            for rate in (values if isinstance(values, list) else [values])
        }
    )
    return (
        f'Nothing was saved since in {runner.work_dir}; look at the data, or lower optim_wrapper.optimizer.lr (the '
        f'rate is {", ".join(rates)}), and --resume'
    )
