"""Which samples of a test each iterate gets right: what networks are compared by in pairs."""

import hashlib
import os.path as osp
from typing import Dict, List, Optional, Sequence

from mmengine.hooks import Hook

from kaizen_mm.openmmlab.ranking import iterates_right


class CorrectnessHook(Hook):
    """Notes for every tested sample whether the first class of each iterate is the true one.

    Scores are those that the accuracies of this package read, of images and of videos (the sum over clips).
    """

    def before_test(self, runner) -> None:
        self._right: Optional[List[List[bool]]] = []  # of each sample, of each iterate
        self._labels: List[int] = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        for sample in outputs or ():
            right = iterates_right(sample)
            if self._right is None or right is None:
                self._right = None  # no single label, or no scores: there is nothing to compare by sample
                return
            self._right.append(right)
            self._labels.append(int(sample.gt_label))

    def after_test(self, runner) -> None:
        dataset = runner.test_loop.dataloader.dataset
        digest = hashlib.sha256()
        for index, label in enumerate(self._labels):
            digest.update(f'{_name(dataset, index)}\0{label}\0'.encode('utf-8', 'surrogateescape'))
        self._samples = digest.hexdigest()[:16]

    def found(self) -> Dict[str, object]:
        """What goes into a result; nothing where samples have no single label.

        ``right`` is, for each iterate, a string of 1 (right) and 0 by sample; ``samples`` is a digest that two tests on
        the same samples in the same order share.
        """
        if not self._right:
            return {}
        right = [''.join(str(int(value)) for value in iterate) for iterate in zip(*self._right, strict=True)]
        return dict(right=right, samples=self._samples)


def broken(right: Sequence[str]) -> float:
    """Percent of samples that the last iterate gets wrong and one before it got right.

    Args:
        right: Of each iterate, as :meth:`CorrectnessHook.found` gives it.
    """
    *before, last = right
    lost = [final == '0' and '1' in earlier for *earlier, final in zip(*before, last, strict=True)]
    return 100 * sum(lost) / len(lost)


def _name(dataset, index: int) -> str:
    """Of a sample's file, without its folder, which may be moved; of data in memory its number."""
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    return osp.basename(str(info.get('img_path') or info.get('filename') or index))
