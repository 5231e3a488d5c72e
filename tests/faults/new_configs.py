"""What cannot be made a config of: an error by name, and nothing is written."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kaizen_mm.commands import new
from kaizen_mm.openmmlab.named_configs import load_config
from tests.faults.case import Case
from tests.openmmlab.new import test_survey as found

FOLDERS = (
    (found.nothing, 'no folder or list'),
    (found.empty, 'no photos or videos by class'),
    (found.text_alone, 'no photo or video in'),
    (found.one_class, 'has one class'),
    (found.other_names, 'other classes in val than in train'),
    (found.both_kinds, 'one of them alone'),
    (found.missing_file, r'9.png: missing'),
    (found.no_label, 'expected "file label"'),
    (found.no_picture, 'none of the photos'),
    (found.too_few, 'no class has two samples'),
)


def _good(folder: Path) -> Path:
    return found.folders(folder / 'data', dict(cat=6, dog=6))


WORDS = (
    ('weights that are not there', ['--weights', 'nothing.pth'], 'weights: no file nothing.pth'),
    ('a network for videos', ['--network', 'mfnet'], 'network for photos must be one of'),
    ('a name that is no config', ['--out', 'config.txt'], 'must name a .py file'),
    ('a folder that is there', ['--out', 'data.py'], 'data_lists is there already'),
)


def new_configs() -> Iterator[Case]:
    for make, pattern in FOLDERS:
        yield Case('new configs', make.__name__, 'error', pattern, partial(_refused, make, []))
    for name, words, pattern in WORDS:
        yield Case('new configs', name, 'error', pattern, partial(_refused, _good, words))
    for variable in ('KAIZEN_IMAGE_CLASSES', 'KAIZEN_LIST_CLASSES'):
        for value in ('x', '0', '-1', '1.5', ''):
            act = partial(_environment, variable, value)
            yield Case('new configs', f'{variable}={value}', 'error', f'{variable} in the environment', act)


def _refused(make, words, folder) -> None:
    given = make(folder)
    if 'data.py' in words:
        (folder / 'data_lists').mkdir()
    before, home = sorted(folder.rglob('*')), Path.cwd()
    os.chdir(folder)
    try:
        new.main([str(given), *words])
    finally:
        os.chdir(home)
        assert sorted(folder.rglob('*')) == before, 'something was written'


def _environment(variable, value, folder) -> None:
    given = os.environ.get(variable)
    os.environ[variable] = value
    try:
        load_config('kaizen_mm::kaizen_bagnet_tiny_imagenet_k2.py')
    finally:
        if given is None:
            del os.environ[variable]
        else:
            os.environ[variable] = given
