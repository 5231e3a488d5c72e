"""``model-index.yml`` and a metafile for each family of networks, in the format of OpenMMLab's packages.

They name every config; accuracies, parameters and epochs come from the records of what was measured,
``results/*.json``.
"""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import yaml

from kaizen_mm.files import write_lines
from kaizen_mm.lab.tables import TABLES


class Family(NamedTuple):
    """Configs of one network: those whose names start so, after ``kaizen_`` and ``recurrent_``, or those of a
    folder."""

    title: str
    starts: Tuple[str, ...]
    paper: str
    paper_title: str


_MFNET = ('https://arxiv.org/abs/1807.11195', 'Multi-Fiber Networks for Video Recognition')
_RESNET = ('https://arxiv.org/abs/1512.03385', 'Deep Residual Learning for Image Recognition')
_KAIZEN = ('https://arxiv.org/abs/1910.11105', 'Adaptive and Iteratively Improving Recurrent Lateral Connections')
# a name belongs to the first family that takes it
FAMILIES = {
    'any_network': Family('Any network', ('any_network/',), *_KAIZEN),
    'comparators': Family('Comparators', ('comparators/',), *_KAIZEN),
    'mnist_cnn': Family('CNN of the MNIST experiments', ('mnist',), *_KAIZEN),
    'mfnet2d': Family('MFNet-2D', ('mfnet2d',), *_MFNET),
    'mfnet3d': Family('MFNet-3D', ('mfnet',), *_MFNET),
    'cifar_resnet': Family('ResNet of CIFAR-10', ('resnet8', 'resnet20'), *_RESNET),
    'bagnet': Family(
        'BagNet',
        ('bagnet',),
        'https://arxiv.org/abs/1904.00760',
        'Approximating CNNs with Bag-of-local-Features models works surprisingly well on ImageNet',
    ),
    'resnet': Family('ResNet', ('resnet', 'timm_resnet'), *_RESNET),
    'slowonly': Family(
        'SlowOnly', ('slowonly',), 'https://arxiv.org/abs/1812.03982', 'SlowFast Networks for Video Recognition'
    ),
    'tsn': Family(
        'TSN',
        ('tsn',),
        'https://arxiv.org/abs/1608.00859',
        'Temporal Segment Networks: Towards Good Practices for Deep Action Recognition',
    ),
}
# by what the name of a config holds; the first one counts
_DATA = {
    'tiny_imagenet': ('20 classes of Tiny ImageNet', 'Image Classification'),
    'cifar10': ('CIFAR-10', 'Image Classification'),
    'mnist_held_out': ('MNIST, the last 10,000 training images held out', 'Image Classification'),
    'mnist': ('MNIST', 'Image Classification'),
    'digits': ('Moving digits', 'Action Recognition'),
    'moving_camera': ('Moving digits seen by a moving camera', 'Action Recognition'),
}
FOLDER = 'configs/metafiles'


def write_metafiles(root: Path) -> None:
    """Writes ``model-index.yml`` and the metafiles under ``configs/metafiles``.

    Args:
        root: Checkout of the repository; its ``configs`` and ``results`` are read.

    Raises:
        ValueError: A config belongs to no family.
    """
    for path, content in metafiles(root).items():
        write_lines(root / path, [yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100).rstrip()])


def metafiles(root: Path) -> Dict[str, dict]:
    """The content of the files, by their paths in the repository."""
    results = _results(root / 'results')
    configs = root / 'configs'
    models: Dict[str, List[dict]] = {name: [] for name in FAMILIES}
    for path in sorted(configs.rglob('*.py')):
        name = path.relative_to(configs).with_suffix('').as_posix()
        if not name.startswith('_base_/'):
            models[_family(name)].append(_model(name, results.get(name, [])))
    files = {
        f'{FOLDER}/{family}.yml': {'Collections': [_collection(FAMILIES[family])], 'Models': entries}
        for family, entries in models.items()
        if entries
    }
    return {'model-index.yml': {'Import': list(files)}, **files}


def _family(name: str) -> str:
    plain = name.removeprefix('kaizen_').removeprefix('recurrent_')
    for family, description in FAMILIES.items():
        if plain.startswith(description.starts):
            return family
    raise ValueError(f'configs/{name}.py belongs to no family: kaizen_mm.lab.metafiles.FAMILIES must name its network')


def _collection(family: Family) -> dict:
    return {'Name': family.title, 'Paper': {'URL': family.paper, 'Title': family.paper_title}}


def _model(name: str, results: List[Tuple[str, dict, dict]]) -> dict:
    model = {
        'Name': name.replace('/', '_'),
        'Config': f'configs/{name}.py',
        'In Collection': FAMILIES[_family(name)].title,
    }
    if not results:
        return {**model, 'Metadata': {'Training Resources': 'no record'}}
    _, row, record = results[0]
    data, task = next(found for part, found in _DATA.items() if part in name)
    model['Metadata'] = {
        'Training Data': data,
        'Epochs': row['epochs'],
        'Parameters': row['parameters'],
        'Training Resources': record['hardware'],
    }
    model['Results'] = [
        {
            'Task': task,
            'Dataset': data,
            'Metrics': {'Top 1 Accuracy': round(row['top1']['mean'], 2)},
            'Record': record_name,
            'Seeds': len(record['seeds']),
        }
        for record_name, row, record in results
    ]
    return model


def _results(folder: Path) -> Dict[str, List[Tuple[str, dict, dict]]]:
    """By config: the record's path, the config's row in it, and the record. Rows of configs some of whose options are
    changed are left out."""
    found: Dict[str, List[Tuple[str, dict, dict]]] = {}
    for table in TABLES:
        path = folder / f'{table}.json'
        record = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {'rows': {}}
        for name, row in record['rows'].items():
            if not row.get('changes'):
                found.setdefault(row.get('config', name), []).append((f'results/{table}.json', row, record))
    return found
