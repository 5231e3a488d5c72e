"""With a part installed, what it is for works, and what is missing is told with the extra that brings it."""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OPENMMLAB = ('mmengine', 'mmcv-lite', 'mmpretrain', 'mmaction2', 'rich', 'scikit-learn', 'scipy')
# what is not installed with an extra, what works then, and what is asked for with the extra that is named
CASES = {
    'core': (
        (*OPENMMLAB, 'timm', 'av', 'decord'),
        'from kaizen_mm.models import kaizen_mfnet2d',
        [
            ('import kaizen_mm.timm_models', 'timm'),
            ('import kaizen_mm.openmmlab', 'image'),
            ('import kaizen_mm.inference', 'video'),
            ('import kaizen_mm.commands.train', 'video'),
        ],
    ),
    'timm': (
        (*OPENMMLAB, 'decord'),
        'import kaizen_mm, timm, kaizen_mm.inference.timm_networks; assert timm.is_model("mfnet2d")',
        [('import kaizen_mm.report', 'image'), ('import kaizen_mm.openmmlab.video', 'video')],
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


@pytest.mark.slow
@pytest.mark.parametrize('extra', CASES)
def test_a_part(extra, tmp_path):
    missing, works, asked = CASES[extra]
    code = f'{works}\n'
    for statement, named in asked:
        code += (
            f'try:\n    {statement}\n'
            f'except ModuleNotFoundError as error:\n    assert "kaizen-mm[{named}]" in str(error), error\n'
            f'else:\n    raise AssertionError({statement!r})\n'
        )
    done = subprocess.run(
        [sys.executable, '-S', '-W', 'ignore', '-c', code],
        env=without(missing, tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
