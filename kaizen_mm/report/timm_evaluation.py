"""What a network of timm's names makes of the files of a test set, without OpenMMLab."""

from contextlib import nullcontext
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional

import numpy as np

from kaizen_mm.data.class_names import check_same_classes, class_folders, names_beside, names_of_folders
from kaizen_mm.data.lists import read_list
from kaizen_mm.inference.media import find_files
from kaizen_mm.inference.timm_networks import TimmPredictor
from kaizen_mm.introspection import RecurrenceWatch
from kaizen_mm.report import Outcomes

_NAMED = 5  # files in an error


class LabelledFiles(NamedTuple):
    """The files of a test set.

    Attributes:
        labels: By file, from 0.
        names: Of the classes, by label; None where nothing tells them.
    """

    labels: Dict[Path, int]
    names: Optional[List[str]]


def labelled_files(data: Path, kind: str, num_classes: int, root: Optional[Path] = None) -> LabelledFiles:
    """The files of a folder with one folder for each class, or of a list of "file label" lines.

    Args:
        data: The folder, whose classes are in the order of their names, or the list.
        kind: ``'image'`` or ``'video'``.
        num_classes: Of the network.
        root: Of the list's files. Default: the folder that the list is in.

    Raises:
        FileNotFoundError: There is no such folder or list.
        ValueError: There is no file, or another number of classes; or the list has faults, see
            :func:`~kaizen_mm.data.lists.read_list`.
    """
    if data.is_file():
        entries = read_list(data.read_bytes(), str(data), num_classes)
        labels = {Path(root or data.parent, entry.file): entry.label for entry in entries}
        return LabelledFiles(_one_label(labels, data), names_beside(data, num_classes))
    if not data.is_dir():
        raise FileNotFoundError(f'no folder or list {data}')
    if root is not None:
        raise ValueError(f'root must be left out with a folder of classes, {data}')
    folders = class_folders(data)
    if len(folders) != num_classes:
        raise ValueError(
            f'{data} must have a folder for each of {num_classes} classes of the network, got {len(folders)}'
        )
    labels = {
        path: label
        for label, folder in enumerate(folders)
        for path, fault in find_files([data / folder], kind).files
        if path != data / folder  # which stands for a folder without such files
    }
    if not labels:
        raise ValueError(f'{data} must have {kind}s in the folders of its classes, got none')
    return LabelledFiles(_one_label(labels, data), names_of_folders(data, folders))


def _one_label(labels: Dict[Path, int], data: Path) -> Dict[Path, int]:
    first: Dict[Path, Path] = {}
    for path, label in labels.items():
        other = first.setdefault(path.resolve(), path)
        if labels[other] != label:
            raise ValueError(f'{data}: {path} is the same file as {other}, of another class; a file has one label')
    return labels


def evaluate_files(
    predictor: TimmPredictor,
    data: str | Path,
    root: Optional[str | Path] = None,
    progress: Callable[[Iterator, int], Iterator] = lambda predictions, total: predictions,
) -> Outcomes:
    """Runs a network over a test set.

    Args:
        predictor: The network.
        data, root: See :func:`labelled_files`.
        progress: As of :class:`~kaizen_mm.inference.Predictor`.

    Raises:
        FileNotFoundError, ValueError: ``data`` cannot be used; its classes are not those that the network was trained
            with, where both have names; or a file cannot be read.
    """
    count = len(predictor.names)
    labels, names = labelled_files(Path(data), predictor.kind, count, None if root is None else Path(root))
    if names is not None:
        check_same_classes(predictor.dataset_meta, dict(classes=names), 'the network was trained with', str(data))
    watch = RecurrenceWatch(predictor.network) if predictor.num_iterations > 1 else None
    before, predictor.after_clip = predictor.after_clip, None if watch is None else watch.add
    try:
        with nullcontext() if watch is None else watch.watching():
            predictions = predictor(list(labels), progress)
    finally:
        predictor.after_clip = before
    failed = [f'{p.file}: {p.error}' for p in predictions if p.error]
    if failed:
        more = f'; and {len(failed) - _NAMED} more' if len(failed) > _NAMED else ''
        raise ValueError(
            f'{len(failed)} of {len(predictions)} files of {data} cannot be used: {"; ".join(failed[:_NAMED])}{more}'
        )
    return Outcomes(
        np.stack([p.probabilities for p in predictions]),
        [labels[p.file] for p in predictions],
        names if names is not None else predictor.names,
        [str(p.file) for p in predictions],
        None if watch is None else watch.report(),
    )
