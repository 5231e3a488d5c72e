"""The page of HTML: figures, tables and samples, with nothing beside it."""

from pathlib import Path, PurePath
from typing import List, Optional

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from kaizen_mm.files import write_lines
from kaizen_mm.report.outcomes import Outcomes
from kaizen_mm.report.pictures import accuracy_figure, confusion_figure, exit_figure, thumbnail
from kaizen_mm.text import printable
from kaizen_mm.uncertainty import SURE, Step, iterates_verdict

_CLASSES = 60  # shown in the table of classes; of more classes those that change most


def write_report(
    outcomes: Outcomes,
    path: Path,
    title: str,
    facts: Optional[dict] = None,
    samples: int = 24,
    exit_at: Optional[float] = None,
) -> None:
    """Writes :func:`render` to a file, whole or not at all."""
    write_lines(Path(path), [render(outcomes, title, facts, samples, exit_at)])


def render(
    outcomes: Outcomes, title: str, facts: Optional[dict] = None, samples: int = 24, exit_at: Optional[float] = None
) -> str:
    """The page.

    Args:
        outcomes: What it is about.
        title: Its heading.
        facts: Names and values that are listed below the heading.
        samples: How many samples that were corrected, and how many that were broken, are shown.
        exit_at: The threshold of early exit that is marked in its curve. Default none.
    """
    environment = Environment(
        loader=PackageLoader('kaizen_mm.report', '.'),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=lambda share: f'{100 * share:.1f}', change=lambda value: f'{value:.2g}')
    several = outcomes.iterates > 1
    last = outcomes.iterates - 1
    recurrence = outcomes.recurrence
    return environment.get_template('report.html.jinja').render(
        title=title,
        facts=facts or {},
        outcomes=outcomes,
        several=several,
        accuracy=outcomes.accuracy(),
        steps=[outcomes.step(i - 1, i) for i in range(1, outcomes.iterates)],
        verdict=iterates_verdict(outcomes.right),
        helps=several and _helps(outcomes.step(0, last)),
        accuracy_figure=accuracy_figure(outcomes) if several else '',
        exit_figure=exit_figure(outcomes, exit_at) if several else '',
        exit_at=exit_at,
        exit=outcomes.exit_at(exit_at) if several and exit_at is not None else None,
        confusions=[(i + 1, confusion_figure(outcomes, i)) for i in sorted({0, last})],
        classes=_classes(outcomes),
        classes_left_out=max(len(outcomes.names) - _CLASSES, 0),
        recurrence=recurrence,
        changes=_changes(recurrence) if recurrence else [],
        corrected=_cards(outcomes, outcomes.corrected(), samples),
        broken=_cards(outcomes, outcomes.broken(), samples),
    )


def _helps(step: Step) -> bool:
    return step.gain > 0 and step.p <= SURE


def _shown(value):
    """Text from outside as characters to be seen; what the template has made of it stays."""
    return printable(value) if isinstance(value, (str, PurePath)) and not hasattr(value, '__html__') else value


def _classes(outcomes: Outcomes) -> List[dict]:
    first, last = outcomes.class_accuracy(0), outcomes.class_accuracy(-1)
    counts = np.bincount(outcomes.labels, minlength=len(outcomes.names))
    rows = [
        dict(name=name, count=count, first=a, last=b) for name, count, a, b in zip(outcomes.names, counts, first, last)
    ]
    if len(rows) > _CLASSES:
        rows.sort(key=lambda row: -abs(row['last'].share - row['first'].share) if row['count'] else 0)
    return rows[:_CLASSES]


def _changes(recurrence) -> List[tuple]:
    """Rows of what the iterations change: what, and for each iterate from the second on mean and tenth and ninetieth
    percentile."""
    rows = []
    for block, change in recurrence.weight_change.items():
        for index, layer in enumerate(recurrence.layers[block]):
            path = '.\u200b'.join(part for part in f'{block}.{layer}'.split('.') if part)  # may be broken at its dots
            rows.append((f'weights of {path}', change[:, index]))
    rows.append(('logits', recurrence.logit_change))
    return [
        (
            name,
            [
                (values.mean().item(), *(np.quantile(values.numpy(), share) for share in (0.1, 0.9)))
                for values in change
            ],
        )
        for name, change in rows
    ]


def _cards(outcomes: Outcomes, chosen: np.ndarray, samples: int) -> dict:
    """The samples to be shown, and how many there are."""
    cards = []
    for n in chosen[:samples]:
        predictions = [
            dict(name=outcomes.names[c], share=outcomes.scores[n, i, c], right=c == outcomes.labels[n])
            for i, c in enumerate(outcomes.predictions[n])
        ]
        file = Path(outcomes.files[n])
        pixels = None if file.exists() else outcomes.pixels(n)
        cards.append(
            dict(
                file=file,
                short=Path(*file.parts[-2:]),
                picture=thumbnail(file, pixels),
                predictions=predictions,
                true=outcomes.names[outcomes.labels[n]],
            )
        )
    return dict(cards=cards, count=len(chosen), strips=any(card['picture'].frames > 1 for card in cards))
