"""What a table of measurements is."""

from typing import Dict, NamedTuple, Optional, Tuple

from kaizen_mm.lab.measures import Measure


class Table(NamedTuple):
    """A table to be measured.

    ``title`` names the data set. ``phase_one`` is the config whose checkpoint the others start from. ``rows`` are all
    configs with the paper's top-1 accuracy in percent (None where it has none). ``measure`` is what they are compared
    by, and ``quick`` are the changes of a smoke test. Where ``control`` names a row, the others have their difference
    to it, seed by seed, or to the control of their own that ``controls`` names; and to ``rival``, a static network of
    as many parameters. A row that is in ``variants`` is no config but one with some of its options changed. With
    ``costs``, multiply-adds and speed are measured as well; with ``breaks`` the share of samples that the last iterate
    gets wrong and one before it got right. What ``taken`` names is taken from another table's record.
    """

    title: str
    phase_one: str
    rows: Dict[str, Optional[float]]
    measure: Measure
    quick: dict
    control: Optional[str] = None
    controls: Dict[str, str] = {}
    rival: Optional[str] = None
    variants: Dict[str, Tuple[str, dict]] = {}
    taken: Dict[str, Tuple[str, str]] = {}
    costs: bool = False
    breaks: bool = False


def few(argument: str, train: int, test: int) -> dict:
    """The changes that leave so many samples of each data set, by the argument that says how many it takes."""
    counts = dict(train=train, val=test, test=test)
    return {f'{loader}_dataloader.dataset.{argument}': count for loader, count in counts.items()}


def lasting(epochs: int, phase: str = '') -> dict:
    """The changes that make a training so long, or its phase one with ``phase='phase_one.'``."""
    return {f'{phase}train_cfg.{key}': epochs for key in ('max_epochs', 'val_interval')}
