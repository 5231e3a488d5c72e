"""Checks of image classifiers before training."""

from typing import Optional

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmpretrain.datasets import MultiLabelDataset
from torch import nn

from kaizen_mm.openmmlab.processes import unwrapped


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Refuses labels that the classifier has no class for, before the first iteration.

    Data sets without labels or without ``get_gt_labels``, and multi-label ones, are not checked.

    Raises:
        ValueError: A label is not below the number of classes of the head.
    """

    def before_train(self, runner) -> None:
        # runner.val_dataloader is an error where there is no validation
        self._check(
            runner.model,
            train_dataloader=runner.train_dataloader,
            val_dataloader=getattr(runner.val_loop, 'dataloader', None),
        )

    def before_test(self, runner) -> None:
        self._check(runner.model, test_dataloader=runner.test_dataloader)

    @staticmethod
    def _check(model, **loaders):
        num_classes = _num_classes(unwrapped(model))
        for name, loader in loaders.items():
            dataset = getattr(loader, 'dataset', None)
            if num_classes is None or not hasattr(dataset, 'get_gt_labels') or isinstance(dataset, MultiLabelDataset):
                continue
            if not getattr(dataset, 'with_label', True):
                continue
            largest = int(dataset.get_gt_labels().max())
            if largest >= num_classes:
                raise ValueError(
                    f'num_classes of the head is {num_classes}, so labels go from 0 to {num_classes - 1}, '
                    f'but those of {name}.dataset go up to {largest}'
                )


def _num_classes(model: nn.Module) -> Optional[int]:
    for part in ('head', 'backbone'):
        number = getattr(getattr(model, part, None), 'num_classes', None)
        if number:
            return number
    return None
