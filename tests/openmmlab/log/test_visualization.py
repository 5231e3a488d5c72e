"""TensorBoard and Weights & Biases: the iterates' curves share a plot."""

import json

import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS

from kaizen_mm.openmmlab.log.visualization import IterateTensorboardVisBackend


def scalars(folder) -> dict:
    """Steps and values by name of one TensorBoard run."""
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator').EventAccumulator(
        str(folder)
    )
    accumulator.Reload()
    return {tag: {e.step: e.value for e in accumulator.Scalars(tag)} for tag in accumulator.Tags()['scalars']}


def test_tensorboard_has_a_run_for_each_iterate(watched):
    (folder,) = (path / 'vis_data' for path in watched.glob('2*') if path.is_dir())
    rows = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    last, validation = [row for row in rows if 'loss' in row][-1], rows[-1]
    common = scalars(folder)
    assert common['loss'] == pytest.approx({row['step']: row['loss'] for row in rows if 'loss' in row})
    assert not any('iterate_' in name for name in common)
    runs = {i: scalars(folder / f'iterate_{i}') for i in (1, 2, 3)}
    assert set(runs[1]) == {
        'ce',
        'top1_acc',
        'top5_acc',
        *(k for k in common if k.startswith('acc/')),
        *(k.replace('iterate_1/', '') for k in validation if 'iterate_1/' in k),
    }
    for i in (2, 3):
        for name in ('ce', 'worse', 'weight_change', 'logit_change', 'prediction_change'):
            assert runs[i][name][last['step']] == pytest.approx(last[f'iterate_{i}_{name}'], rel=1e-5), name
        assert runs[i]['acc/video_top1'][validation['step']] == pytest.approx(validation[f'acc/iterate_{i}/video_top1'])
    assert runs[3]['top1_acc'][last['step']] == pytest.approx(last['top1_acc'])


def test_phase_one_is_a_run_of_its_own(watched):
    (folder,) = (watched / 'phase_one').glob('2*/vis_data')
    assert set(scalars(folder)) >= {'loss', 'top1_acc', 'acc/video_top1'} and not list(folder.glob('iterate_*'))


def test_weights_and_biases_gets_a_chart_of_all_iterates(tmp_path, monkeypatch):
    wandb = pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    back_ends = [
        VISBACKENDS.build(dict(type='IterateWandbVisBackend', save_dir=str(tmp_path / name))) for name in ('two', 'one')
    ]
    for back_end in back_ends:
        back_end.add_config(Config(dict(a=1)))
    two, one = back_ends
    assert two.experiment.run.id != one.experiment.run.id, 'a run for each phase, open at the same time'
    one.add_scalars(dict(loss=1.0), step=1)
    one.close()
    sent = []
    monkeypatch.setattr(two.experiment, 'log', lambda values, commit=True: sent.append(values))
    two.add_scalars({'loss': 1.0, 'iterate_1_ce': 2.0, 'iterate_2_ce': 1.5}, step=10)
    two.add_scalars({'acc/top1': 0.75, 'acc/iterate_1/top1': 0.5, 'acc/iterate_2/top1': 0.75}, step=1)
    two.close()
    assert sent[0] == {'loss': 1.0, 'ce/iterate_1': 2.0, 'ce/iterate_2': 1.5}
    assert sent[1].keys() == {'acc/top1/iterate_1', 'acc/top1/iterate_2', 'ce/all iterates', 'acc/top1/all iterates'}
    table = sent[1]['ce/all iterates'].table
    assert isinstance(table, wandb.Table) and sorted(map(tuple, table.data)) == [
        (10, 'iterate 1', 2.0),
        (10, 'iterate 2', 1.5),
    ]
    assert sent[2].keys() == {'ce/all iterates', 'acc/top1/all iterates'}


def test_the_option_of_the_docs_changes_the_back_end_and_leaves_the_local_one():
    from tests.conftest import ROOT

    cfg = Config.fromfile(ROOT / 'configs' / 'kaizen_mfnet_list.py')
    assert [b.type for b in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'NoVisBackend']
    cfg.merge_from_dict({'visualizer.vis_backends.1.type': IterateTensorboardVisBackend.__name__})
    assert [b.type for b in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'IterateTensorboardVisBackend']
