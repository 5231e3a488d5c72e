"""The laboratory can be deleted: networks are trained, tested, exported, predicted with and reported on without it."""

import sys

import pytest

from tests.conftest import ROOT

# a folder that is no part of an installed package any more is one that cannot be imported
CODE = """
import sys
sys.modules['kaizen_mm.lab'] = None
from kaizen_mm.commands import export, predict, report, test, train

config, image = sys.argv[1:]
checkpoint = 'work/epoch_1.pth'
train.main([config, '--work-dir', 'work'])
test.main([config, checkpoint, '--work-dir', 'work'])
assert export.main(['--config', config, '--checkpoint', checkpoint, '--out', 'net.pt2']) == 0
assert predict.main([image, '--config', config, '--checkpoint', checkpoint, '--out', 'predicted.csv']) == 0
report.main([config, checkpoint, '--out', 'report.html', '--samples', '1'])
"""


@pytest.mark.slow
def test_all_but_the_laboratory_works_without_it(run, environment, image_folders, tmp_path):
    environment.update(KAIZEN_IMAGE_ROOT=str(image_folders), KAIZEN_IMAGE_CLASSES='4')
    (tmp_path / 'config.py').write_text(
        f'_base_ = {str(ROOT / "configs" / "kaizen_mfnet2d_tiny_imagenet_k2.py")!r}\n'
        'backbone = dict(widths=(8, 8, 8, 16), units=(1, 1, 1, 1), groups=2)\n'
        'model = dict(backbone=backbone, head=dict(head=dict(in_channels=16)))\n'
        'train_dataloader = dict(batch_size=10, num_workers=0, persistent_workers=False)\n'
        'test_dataloader = dict(num_workers=0, persistent_workers=False)\n'
        'phase_one = dict(train_cfg=dict(max_epochs=1))\n'
        'train_cfg = dict(max_epochs=1)\n'
    )
    image = next(image_folders.rglob('*.png'))
    run(sys.executable, '-W', 'ignore', '-c', CODE, 'config.py', image)
    assert all((tmp_path / name).stat().st_size for name in ('net.pt2', 'predicted.csv', 'report.html'))


def test_commands_are_listed_and_called_without_it(run):
    code = "import sys; sys.modules['kaizen_mm.lab'] = None; from kaizen_mm.__main__ import main; sys.exit(main())"
    assert 'kaizen-reproduce' in run(sys.executable, '-c', code)
    output = run(sys.executable, '-c', code, 'train', 'nowhere.py', status=2)
    assert output.splitlines()[-1].startswith('error: ') and 'nowhere.py' in output and 'Traceback' not in output
