"""With a part installed, what it is for works, and what is missing is told with the extra that brings it."""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parent.parent
OPENMMLAB = ('mmengine', 'mmcv-lite', 'mmpretrain', 'mmaction2')
REPORT = ('matplotlib', 'jinja2', 'scikit-learn', 'scipy')
# what is not installed with an extra, what works then, and what is asked for with the extra that is named
CASES = {
    'core': (
        (*OPENMMLAB, *REPORT, 'timm', 'av', 'decord', 'rich'),
        'from kaizen_mm.models import kaizen_mfnet2d',
        [
            ('import kaizen_mm.timm_names', 'timm'),
            ('import kaizen_mm.openmmlab', 'image'),
            ('import kaizen_mm.inference', 'video'),
            ('from kaizen_mm.commands.train import main; main(["a.py"])', 'video'),
            ('from kaizen_mm.commands.report import main; main(["a.py", "a.pth"])', 'video'),
            (
                'from kaizen_mm.commands.predict import main; main(["a.png", "--timm", "a", "--checkpoint", "a"])',
                'timm',
            ),
            ('from kaizen_mm.commands.prepare_data import main; main(["list", "a", "--videos", "."])', 'video'),
        ],
    ),
    'timm': (
        (*OPENMMLAB, *REPORT, 'decord'),
        'import kaizen_mm, timm, kaizen_mm.inference.timm_networks; assert timm.is_model("mfnet2d")',
        [('import kaizen_mm.report', 'report'), ('import kaizen_mm.openmmlab.video', 'video')],
    ),
    'image': (
        ('timm', 'mmaction2', 'decord'),
        'import kaizen_mm.lab.experiment, kaizen_mm.report, kaizen_mm.openmmlab.inference, kaizen_mm.openmmlab.image',
        [
            ('import kaizen_mm.openmmlab.video', 'video'),
            ('import kaizen_mm.inference.timm_networks', 'timm'),
            ('from kaizen_mm.commands.train import main; main(["kaizen_mm::mfnet_digits.py"])', 'video'),
        ],
    ),
    'video': (
        ('timm', 'mmpretrain'),
        'import kaizen_mm.lab.experiment, kaizen_mm.report, kaizen_mm.openmmlab.inference, kaizen_mm.openmmlab.video, '
        'kaizen_mm.data.annotations, kaizen_mm.data.moving_digits',
        [
            ('import kaizen_mm.openmmlab.image', 'image'),
            ('from kaizen_mm.commands.train import main; main(["kaizen_mm::mnist.py"])', 'image'),
        ],
    ),
}


def without(distributions, folder: Path) -> dict:
    """The environment of ``python -S`` that finds the installed packages but those of some distributions."""
    missing = {'..'}
    for name in distributions:
        missing |= {file.parts[0] for file in importlib.metadata.files(name)}
    for path in Path(sysconfig.get_path('purelib')).iterdir():
        if path.name not in missing:
            (folder / path.name).symlink_to(path)
    return dict(os.environ, PYTHONPATH=f'{ROOT}{os.pathsep}{folder}')


def required(requirements, extras: dict, found: set) -> set:
    """The names of installed distributions that these requirements bring, with all that they bring in turn."""
    for requirement in map(Requirement, requirements):
        asked = {'', *requirement.extras}
        if requirement.marker and not any(requirement.marker.evaluate({'extra': extra}) for extra in asked):
            continue
        name = canonicalize_name(requirement.name)
        if name == 'kaizen-mm':
            required([need for extra in requirement.extras for need in extras[extra]], extras, found)
        elif (name, *sorted(requirement.extras)) not in found:
            found.add((name, *sorted(requirement.extras)))
            needs = importlib.metadata.requires(name) or []
            marked = [Requirement(need) for need in needs]
            kept = [n for n in marked if not n.marker or any(n.marker.evaluate({'extra': e}) for e in asked)]
            for need in kept:
                need.marker = None
            required(map(str, kept), extras, found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    'extra, imported',
    [
        ('timm', 'kaizen_mm, timm, kaizen_mm.inference.timm_networks'),
        ('timm,report', 'kaizen_mm, kaizen_mm.report.timm_evaluation, kaizen_mm.commands.report'),
        ('image', 'kaizen_mm, mmpretrain.models, kaizen_mm.openmmlab.image, kaizen_mm.report'),
        ('video', 'kaizen_mm, mmaction.models, kaizen_mm.openmmlab.video, kaizen_mm.lab.experiment, kaizen_mm.report'),
    ],
)
def test_a_part_brings_all_that_it_imports(extra, imported, tmp_path):
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    extras = project['optional-dependencies']
    needs = [need for one in extra.split(',') for need in extras[one]]
    names = {name for name, *_ in required([*project['dependencies'], *needs], extras, set())}
    brought = {
        file.parts[0] for name in names for file in importlib.metadata.files(name) or () if file.parts[0] != '..'
    }
    for path in Path(sysconfig.get_path('purelib')).iterdir():
        if path.name in brought:
            (tmp_path / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, '-S', '-W', 'ignore', '-c', f'import {imported}'],
        env=dict(os.environ, PYTHONPATH=f'{ROOT}{os.pathsep}{tmp_path}'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_wandb_and_what_tests_need_come_with_no_part_of_a_user():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    extras = project['optional-dependencies']
    bring_wandb = [name for name, needs in extras.items() if 'wandb' in ' '.join(needs)]
    assert bring_wandb == ['wandb', 'test'], 'pages that tests run log to it'
    needed = ' '.join(project['dependencies'] + extras['openmmlab'] + extras['video'])
    assert not [name for name in ('pytest', 'tensorboard', 'grad-cam', 'onnx', 'timm') if name in needed]
    demo = re.search(
        r"^\$\(DEMO\):.*?pip install -e '([^']*)'", (ROOT / 'Makefile').read_text(), re.DOTALL | re.MULTILINE
    )
    assert demo[1] == '.[video]'


@pytest.mark.slow
@pytest.mark.parametrize('extra', CASES)
def test_a_part(extra, tmp_path):
    missing, works, asked = CASES[extra]
    code = f'{works}\n'
    for statement, named in asked:
        code += (
            f'try:\n    {statement}\n'
            'except (ModuleNotFoundError, SystemExit) as error:\n'
            '    told = error.__cause__ if isinstance(error, SystemExit) else error\n'
            f'    assert "kaizen-mm[{named}]" in str(told), told\n'
            f'else:\n    raise AssertionError({statement!r})\n'
        )
    done = subprocess.run(
        [sys.executable, '-S', '-W', 'ignore', '-c', code],
        env=without(missing, tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_the_part_for_timm_predicts_and_with_those_for_reports_and_export_reports_and_exports(image_folders, tmp_path):
    environment = without((*OPENMMLAB, 'decord'), tmp_path)
    kwargs = '--model-kwargs num_classes=4 img_size=64 pool_padding=1'
    options = f'--timm kaizen_mfnet2d_n9 --checkpoint net.pth {kwargs}'

    def run(*words):
        return subprocess.run(
            [sys.executable, '-S', '-W', 'ignore', *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    code = (
        'import kaizen_mm, timm, torch\n'
        'net = timm.create_model("kaizen_mfnet2d_n9", num_classes=4, img_size=64, pool_padding=1)\n'
        'torch.save(net.state_dict(), "net.pth")\n'
    )
    assert run('-c', code).returncode == 0
    image = str(next(image_folders.rglob('*.png')))
    done = run('-m', 'kaizen_mm', 'predict', image, *options.split(), '--out', 'predicted.csv')
    assert done.returncode == 0 and (tmp_path / 'predicted.csv').is_file(), done.stderr[-3000:]
    done = run('-m', 'kaizen_mm', 'export', *options.split(), '--out', 'net.pt2', 'net.onnx')
    assert done.returncode == 0 and (tmp_path / 'net.onnx').is_file(), done.stderr[-3000:]
    data = str(image_folders / 'val')
    report = f'report --timm kaizen_mfnet2d_n9 net.pth --data {data} {kwargs}'
    done = run('-m', 'kaizen_mm', *report.split())
    assert done.returncode == 0 and 'iterate 3: top-1' in done.stdout, done.stderr[-3000:]
    assert 'class_3' in (tmp_path / 'report.html').read_text(encoding='utf-8')
    done = run('-m', 'kaizen_mm', 'predict', image, '--config', 'a.py', '--checkpoint', 'net.pth')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1 and "mmengine is not installed: pip install 'kaizen-mm[image]'" in done.stderr
