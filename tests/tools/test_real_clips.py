"""Two original UCF101 clips through preparation, both phases, the ten-clip test and prediction."""

import sys
from pathlib import Path

import pytest

from tests.tools.output import last_table

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ('ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi', 'BaseballPitch/v_BaseballPitch_g01_c01.avi')


@pytest.mark.slow
def test_prepared_trained_and_tested(real_data, run, environment, tmp_path):
    splits = tmp_path / 'ucfTrainTestlist'
    splits.mkdir()
    (splits / 'classInd.txt').write_text('1 ApplyEyeMakeup\n2 BaseballPitch\n')
    (splits / 'trainlist01.txt').write_text(''.join(f'{clip} {i}\n' for i, clip in enumerate(CLIPS, start=1)))
    (splits / 'testlist01.txt').write_text(''.join(f'{clip}\n' for clip in CLIPS))
    environment['KAIZEN_DATA'] = str(tmp_path / 'data')
    run(
        sys.executable,
        ROOT / 'tools' / 'prepare_data.py',
        'ucf101',
        '--videos',
        real_data / 'ucf101_samples',
        '--splits',
        splits,
        '--out',
        'data/ucf101',
        '--short-side',
        256,
    )
    config = ROOT / 'configs' / 'kaizen_mfnet_ucf101.py'
    small = [
        '--work-dir',
        'work',
        '--cfg-options',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'test_dataloader.num_workers=0',
        'model.cls_head.head.num_classes=2',
        *(f'{name}_dataloader.dataset.num_classes=2' for name in ('train', 'val', 'test')),
    ]
    run(
        sys.executable,
        ROOT / 'tools' / 'train.py',
        config,
        *small,
        'train_cfg.max_epochs=1',
        'phase_one.train_cfg.max_epochs=1',
    )
    output = run(sys.executable, ROOT / 'tools' / 'test.py', config, 'work/epoch_1.pth', *small)
    assert 'Epoch(test) [2/2]' in output and len(last_table(output)['acc/clip_top1']) == 2
    output = run(
        sys.executable,
        ROOT / 'tools' / 'predict.py',
        real_data / 'ucf101_samples',
        '--config',
        config,
        '--checkpoint',
        'work/epoch_1.pth',
        '--cfg-options',
        'model.cls_head.head.num_classes=2',
        '--annotate',
        'copies',
    )
    assert '% ApplyEyeMak' in output and 'of 10' in output, 'training has written the names of the classes'
    assert len(list((tmp_path / 'copies').glob('v_*.mp4'))) == 2
