"""Writes trained weights as the package brings them, with their model card."""

import json
from pathlib import Path
from typing import Sequence, Tuple

from safetensors.torch import save_file

import kaizen_mm.openmmlab  # noqa: F401  what mmengine's checkpoints hold may be read then
from kaizen_mm.checkpoint_files import read_checkpoint
from kaizen_mm.files import write_lines
from kaizen_mm.weights import FOLDER, FORMAT

_CARD = """# {name}

{what}

| | |
| --- | --- |
| config | `{config}` |
| trained by | `{command}`, seed {seed}, torch {torch} |
| data | {data} |
| tested on | {tested} |
| top-1 of every iterate, in percent | {accuracy} |
| parameters | {parameters:,} |
| classes | {classes} |
| licence | Apache-2.0 |

{use}

It is one training, with one seed, and was not chosen among several. What several seeds give is in
the page *Results*."""


def write_weights(
    name: str,
    checkpoint: Path,
    config: str,
    test_top1: Sequence[float],
    what: str,
    command: str,
    data: str,
    tested: str,
    torch: str,
    use: str,
    folder: Path = FOLDER,
) -> Tuple[Path, Path]:
    """Writes ``NAME.safetensors`` and ``NAME.md``.

    Args:
        name: Of the weights.
        checkpoint: Of a finished training, whose ``meta`` tells classes, seed and ``K``.
        config: Name of the config.
        test_top1: Of every iterate, in percent.
        what, command, data, tested, torch, use: Lines of the card.
        folder: Default that of the package.
    """
    loaded = read_checkpoint(checkpoint)
    meta, state_dict = loaded['meta'], loaded['state_dict']
    counted = {key: value for key, value in state_dict.items() if 'running_' not in key and 'num_batches' not in key}
    card = dict(
        config=config,
        classes=list(meta['dataset_meta']['classes']),
        num_iterations=meta['num_iterations'],
        seed=meta['seed'],
        test_top1=list(test_top1),
        license='Apache-2.0',
    )
    path, page = folder / f'{name}.safetensors', folder / f'{name}.md'
    tensors = {key: value.contiguous() for key, value in state_dict.items()}
    save_file(tensors, str(path), metadata=dict(format=FORMAT, card=json.dumps(card)))
    path.chmod(0o644)  # the library writes it for its owner alone
    text = _CARD.format(
        name=name,
        what=what,
        config=config,
        command=command,
        seed=meta['seed'],
        torch=torch,
        data=data,
        tested=tested,
        accuracy=', '.join(f'{value:.2f}' for value in test_top1),
        parameters=sum(value.numel() for value in counted.values()),
        classes=', '.join(card['classes']),
        use=use,
    )
    write_lines(page, text.splitlines())
    return path, page
