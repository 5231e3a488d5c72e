"""Images through the command-line tools: both phases, two processes, mmpretrain's own tools."""

import re
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch

from kaizen_mm.checkpoint_files import read_checkpoint
from tests.tools.output import last_table
from tests.tools.test_training import free_port

ROOT = Path(__file__).resolve().parents[2]
STOCK = Path(mmpretrain.__file__).parent / '.mim' / 'tools'


def state(path: Path) -> dict:
    return read_checkpoint(path)['state_dict']


@pytest.mark.slow
def test_digits_are_trained_here_and_tested_by_the_stock_tool(run, environment, mnist_data, tmp_path):
    environment['KAIZEN_DATA'] = str(mnist_data)
    config = ROOT / 'configs' / 'kaizen_mnist_k2.py'
    output = run(
        sys.executable,
        ROOT / 'tools' / 'train.py',
        config,
        '--work-dir',
        'work',
        '--no-validate',
        '--cfg-options',
        'train_dataloader.batch_size=100',
        'train_cfg.max_epochs=2',
        'phase_one.train_cfg.max_epochs=3',
    )
    assert '[2][14/14]' in output and 'Epoch(val)' not in output
    one, two = state(tmp_path / 'work' / 'phase_one' / 'epoch_3.pth'), state(tmp_path / 'work' / 'epoch_2.pth')
    assert two.keys() - one.keys() == {'backbone.fc1.adapter.linears.0.weight'}
    assert torch.equal(one['backbone.fc1.weight'], two['backbone.fc1.weight']), 'W_1 is frozen'
    assert not torch.equal(one['backbone.fc2.weight'], two['backbone.fc2.weight'])
    output = run(sys.executable, STOCK / 'test.py', config, 'work/epoch_2.pth', '--work-dir', 'work')
    values = last_table(output)
    assert len(values['accuracy/top1']) == 2 and float(values['accuracy/top1'][-1]) > 30, 'far above chance'


@pytest.mark.slow
def test_a_folder_of_images_on_two_processes(run, environment, image_folders, tmp_path):
    environment.update(KAIZEN_IMAGE_ROOT=str(image_folders), KAIZEN_IMAGE_CLASSES='4', PORT=free_port())
    config = ROOT / 'configs' / 'kaizen_mfnet2d_tiny_imagenet_k2.py'
    epochs = [
        '--cfg-options',
        'train_dataloader.batch_size=5',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'phase_one.train_cfg.max_epochs=2',
    ]
    output = run('bash', ROOT / 'tools' / 'dist_train.sh', config, 2, '--work-dir', 'work', *epochs)
    assert '[1][2/2]' in output, '20 images on two processes'
    one, two = state(tmp_path / 'work' / 'phase_one' / 'epoch_2.pth'), state(tmp_path / 'work' / 'epoch_1.pth')
    assert two['head.fc.weight'].shape == (4, 192)
    for key in one:
        if key.endswith(('conv5.B02.conv_i1.conv.weight', 'conv5.B02.conv_i2.conv.weight')):
            assert torch.equal(one[key], two[key]), 'W_1 is frozen'
    assert {k for k in two if k not in one} == {k for k in two if '.adapter.' in k or '.iterates.' in k} != set()

    tested = run(sys.executable, ROOT / 'tools' / 'test.py', config, 'work/epoch_1.pth')
    assert last_table(tested) == last_table(output), 'one process gives what two gave in validation'
    verdicts = [
        re.search(r'On (validation|test) data: (The iterations .*difference\))', text) for text in (output, tested)
    ]
    assert [found[1] for found in verdicts] == ['validation', 'test'] and verdicts[0][2] == verdicts[1][2]
