"""The text of a config for a folder of photos or videos, which says what is new against the one that it inherits."""

from typing import Dict, List, Optional

from kaizen_mm.config_files import PREFIX
from kaizen_mm.openmmlab.new.choice import NONE, Choice
from kaizen_mm.openmmlab.new.survey import Survey
from kaizen_mm.text import printable


def config_text(found: Survey, choice: Choice, lists: Optional[str] = None) -> str:
    """The config, Python.

    Args:
        found: What the folder holds.
        choice: What was chosen for it.
        lists: Folder with ``train.txt``, ``val.txt`` and ``classes.txt``, where the data are not read as they lie.
    """
    count = len(found.classes)
    what = f'{count} classes, {len(found.train)} {found.kind} to train on and {len(found.val)} to validate on'
    lines = [
        f'# {printable(found.name)}: {what}; written by kaizen-new',
        f'_base_ = {PREFIX + choice.base!r}',
        '',
        *_pipelines(choice),
    ]
    head = 'cls_head' if found.kind == 'videos' else 'head'
    lines.append(f'model = dict({head}=dict(head=dict(num_classes={count})))')
    for name in ('train', 'val', 'test') if found.kind == 'videos' else ('train', 'val'):
        lines.append(f'{name}_dataloader = dict(')
        if name == 'train':
            lines.append(f'    batch_size={choice.batch},')
        lines += ['    dataset=dict(', *_dataset(found, choice, lists, name), '    ),', ')']
    if found.kind == 'photos':
        lines.append('test_dataloader = val_dataloader')
    lines.append('')
    interval = max(choice.epochs // 4, 1)
    renewed = 'default_hooks=dict(checkpoint_check=dict(new_classifier=True))'
    if choice.phase_one:
        lines.append('phase_one = dict(')
        if choice.weights is not None:
            lines.append(f'    load_from={None if choice.weights == NONE else choice.weights!r},')
            lines.append(f'    {renewed},')
        lines.append(
            f'    train_cfg=dict(max_epochs={choice.phase_one}, val_interval={max(choice.phase_one // 4, 1)}),'
        )
        lines.append(')')
    elif choice.weights not in (None, NONE):
        lines += [f'load_from = {choice.weights!r}', f'default_hooks = {renewed.partition("=")[2]}']
    if choice.rate:
        lines.append(f'optim_wrapper = dict(optimizer=dict(lr={choice.rate:.4g}))')
    lines.append(f'train_cfg = dict(max_epochs={choice.epochs}, val_interval={interval})')
    if choice.interval:
        lines.append('del sampled')
    return '\n'.join(lines) + '\n'


def needs_lists(found: Survey) -> bool:
    """Whether lists must be written: of validation data that were drawn, and of videos in folders, which are read from
    lists alone."""
    return found.lists is None and (found.splits is None or found.kind == 'videos')


def list_files(found: Survey) -> Dict[str, List[str]]:
    """The lines of the files in the folder of lists, by name."""
    return {
        'train.txt': [f'{file} {label}' for file, label in found.train],
        'val.txt': [f'{file} {label}' for file, label in found.val],
        'classes.txt': list(found.classes),
    }


def _dataset(found: Survey, choice: Choice, lists: Optional[str], name: str) -> List[str]:
    part = 0 if name == 'train' else 1
    file = f'{lists}/{("train", "val")[part]}.txt' if lists else found.lists[part] if found.lists else None
    if found.kind == 'videos':
        entries = dict(ann_file=file, data_prefix=dict(video=str(found.root)))
    elif file is not None:
        entries = dict(data_root='', ann_file=file, data_prefix=str(found.root))
    else:
        entries = dict(data_root=str(found.root), data_prefix=found.splits[part])
    entries['num_classes'] = len(found.classes)
    lines = [f'        {key}={value!r},' for key, value in entries.items()]
    if choice.interval:
        lines.append(f'        pipeline=sampled(_base_.{name}_pipeline),')
    elif choice.size:
        lines.append(f'        pipeline={"train" if part == 0 else "val"}_pipeline,')
    return lines


def _pipelines(choice: Choice) -> List[str]:
    """What precedes the entries where photos are of another size, or frames further apart, than in the config that is
    inherited."""
    if choice.interval:
        return [
            'def sampled(steps):',
            '    return [',
            f"        dict(step, frame_interval={choice.interval}) if 'clip_len' in step else step for step in steps",
            '    ]',
            '',
            '',
        ]
    if choice.size:
        edge = round(choice.size * 256 / 224)
        return [
            'train_pipeline = [',
            "    dict(type='LoadImageFromFile'),",
            f"    dict(type='RandomResizedCrop', scale={choice.size}, backend='pillow', interpolation='bicubic'),",
            "    dict(type='RandomFlip', prob=0.5, direction='horizontal'),",
            "    dict(type='PackInputs'),",
            ']',
            'val_pipeline = [',
            "    dict(type='LoadImageFromFile'),",
            f"    dict(type='ResizeEdge', scale={edge}, edge='short', backend='pillow', interpolation='bicubic'),",
            f"    dict(type='CenterCrop', crop_size={choice.size}),",
            "    dict(type='PackInputs'),",
            ']',
        ]
    return []
