"""What data sets of files have in common: checked lists, named files, and a share of unreadable ones that may be
skipped."""

import logging
from typing import List, Optional, Sequence

import torch
from mmengine.fileio import exists, get
from mmengine.logging import print_log

from kaizen_mm.arguments import check_flag, check_number
from kaizen_mm.data.file_check import file_fault
from kaizen_mm.data.lists import Entry, read_list, repeats
from kaizen_mm.openmmlab.named_configs import set_by_environment


class FileDataset:
    """Base of data sets of mmengine's kind whose samples are files.

    A file that cannot be loaded ends the run with an error that names it, unless ``max_unreadable`` allows to go on
    without it: another sample is drawn in its place then, and
    :class:`~kaizen_mm.openmmlab.training.data_hooks.ReadingHook` lists what was skipped at the end. Test data is never
    skipped.

    Args:
        max_unreadable: Share of the files, from 0 to 1, that training goes on without where they cannot be loaded.
            Default 0.
        allow_one_class: Whether all training samples may have one label. Default False.

    Raises:
        ValueError: All training samples have one label.
    """

    file_key = None  # of a sample's file in its data info
    remedy = 'mend it or take it out'

    def __init__(self, *args, max_unreadable: float = 0.0, allow_one_class: bool = False, **kwargs):
        check_number('max_unreadable', max_unreadable, high=1)
        check_flag('allow_one_class', allow_one_class)
        self.max_unreadable, self.allow_one_class = max_unreadable, allow_one_class
        self._unreadable = None
        super().__init__(*args, **kwargs)

    def full_init(self) -> None:
        if self._fully_initialized:
            return
        super().full_init()
        self._unreadable = torch.zeros(len(self), dtype=torch.bool).share_memory_()  # one table for all workers

    def prepare_data(self, idx: int):
        try:
            return super().prepare_data(idx)
        except Exception as error:
            name = self.get_data_info(idx)[self.file_key]
            message = f'cannot load {name}: {type(error).__name__}: {error}; {self.remedy}'
            if self.test_mode or not self.max_unreadable:
                raise RuntimeError(message) from error
            self._unreadable[idx] = True
            skipped = self.unreadable_files()
            if len(skipped) > self.max_unreadable * len(self):
                raise RuntimeError(
                    f'{message}. {len(skipped)} of {len(self)} files cannot be loaded, more than '
                    f'max_unreadable={self.max_unreadable} allows: {", ".join(skipped[:10])}'
                ) from error
            return None  # mmengine draws another sample

    def unreadable_files(self) -> List[str]:
        """The files that could not be loaded so far and were skipped, by any worker of this process."""
        if self._unreadable is None:
            return []
        return [self.get_data_info(index)[self.file_key] for index in self._unreadable.nonzero().flatten().tolist()]

    def read_entries(self, num_classes: Optional[int], delimiter: str = ' ') -> List[Entry]:
        """The lines of ``ann_file``.

        Raises:
            FileNotFoundError: There is no such list.
            ValueError: It has faults, see :func:`kaizen_mm.data.lists.read_list`.
        """
        content = self.read_content()
        try:
            entries = read_list(content, self.ann_file, num_classes, delimiter)
        except ValueError as error:
            variable = set_by_environment(num_classes)
            if not variable or 'num_classes' not in str(error):
                raise
            raise ValueError(f'{error}. num_classes is {num_classes}{variable}') from error
        again = repeats(entries)
        if again:
            print_log(
                f'{self.ann_file}: {len(again)} lines name a file once more, first line {min(again)}; each '
                'counts as a sample of its own',
                logger='current',
                level=logging.WARNING,
            )
        return entries

    def read_content(self) -> bytes:
        """Content of ``ann_file``; FileNotFoundError where there is none."""
        if not exists(self.ann_file):
            raise FileNotFoundError(
                f'ann_file: no file {self.ann_file}; it must be a list of "file label" lines, '
                'tools/prepare_data.py makes and checks such lists'
            )
        return get(self.ann_file)

    def check_labels(self, labels: Sequence[int]) -> None:
        """Looks whether there is more than one label to train on.

        Raises:
            ValueError: All training samples have one label, and ``allow_one_class`` is False.
        """
        if not self.test_mode and not self.allow_one_class and len(set(labels)) == 1:
            raise ValueError(
                f'{self.ann_file or self.data_prefix}: all {len(labels)} training samples have label '
                f'{labels[0]}, there is nothing to tell apart; two classes are needed, or '
                'allow_one_class=True'
            )

    def check_files(self, paths: Sequence[str], lines: Sequence[int]) -> None:
        """Looks whether the files of a list are there.

        Raises:
            FileNotFoundError: Files are missing or no regular files; the first ones are named with their lines.
        """
        faults = [
            f'{self.ann_file}:{line}: {path}: {fault}'
            for line, path in zip(lines, paths)
            for fault in [_fault(path)]
            if fault
        ]
        if faults:
            more = f'; and {len(faults) - 5} more' if len(faults) > 5 else ''
            raise FileNotFoundError(
                f'{len(faults)} of {len(paths)} files cannot be read: {"; ".join(faults[:5])}{more}. '
                f'Is data_prefix right? {self.remedy}'
            )


def _fault(path: str) -> Optional[str]:
    if '://' in path:  # not on a disk
        return None if exists(path) else 'missing'
    return file_fault(path)
