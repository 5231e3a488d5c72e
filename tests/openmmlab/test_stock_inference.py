"""The inference functions and classes of mmaction2 and mmpretrain on recurrent networks, ours and stock ones made
recurrent."""

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

import kaizen_mm  # noqa: F401  registers the names
from kaizen_mm.openmmlab.inference import ConfigPredictor
from tests.openmmlab.trained import image_config, save, stock_image_config, stock_video_config, video_config


@pytest.fixture(scope='module', params=[video_config, stock_video_config], ids=['own', 'any_network'])
def recognizer(request, tmp_path_factory):
    """Config file and checkpoint."""
    return written(request.param(), tmp_path_factory.mktemp('recognizer'), classes=None)


@pytest.fixture(scope='module', params=[image_config, stock_image_config], ids=['own', 'any_network'])
def classifier(request, tmp_path_factory):
    cfg = request.param()
    return written(
        cfg, tmp_path_factory.mktemp('classifier'), [f'class {i}' for i in range(cfg.model.head.head.num_classes)]
    )


def written(cfg, folder, classes):
    cfg.dump(folder / 'config.py')
    return str(folder / 'config.py'), save(cfg, folder / 'epoch_1.pth', classes)


@pytest.fixture
def clip(digits):
    return str(digits / 'videos' / 'val_00000.mp4')


@pytest.fixture
def photo(image_folders):
    return str(image_folders / 'val' / 'class_1' / '2.png')


def test_mmaction2_functions(recognizer, clip):
    from mmaction.apis import inference_recognizer, init_recognizer

    model = init_recognizer(*recognizer, device='cpu')
    sample = inference_recognizer(model, clip)
    (prediction,) = ConfigPredictor(*recognizer)(clip)
    np.testing.assert_allclose(sample.iterate_clip_scores.mean(dim=1), prediction.probabilities, atol=1e-6)
    np.testing.assert_allclose(sample.pred_score, prediction.probabilities[-1], atol=1e-6)
    assert int(sample.pred_label) == prediction.top(1)[-1][0].label


def test_mmaction2_inferencer(recognizer, clip, tmp_path):
    from mmaction.apis import MMAction2Inferencer

    init_default_scope('mmaction')
    inferencer = MMAction2Inferencer(*recognizer, device='cpu')
    result = inferencer(clip, pred_out_file=str(tmp_path / 'result.json'))['predictions'][0]
    (prediction,) = ConfigPredictor(*recognizer)(clip)
    np.testing.assert_allclose(result['rec_scores'][0], prediction.probabilities[-1], atol=1e-6)
    assert (tmp_path / 'result.json').exists()


def test_mmpretrain_functions(classifier, photo):
    from mmpretrain import inference_model
    from mmpretrain.apis import init_model

    model = init_model(*classifier, device='cpu')
    result = inference_model(model, photo)
    (prediction,) = ConfigPredictor(*classifier)(photo)
    np.testing.assert_allclose(result['pred_scores'], prediction.probabilities[-1], atol=1e-6)
    assert result['pred_class'] == prediction.top(1)[-1][0].name
    assert inference_model(model, photo, classes=['x'] * len(result['pred_scores']))['pred_class'] == 'x'


def test_mmpretrain_inferencer(classifier, photo, tmp_path):
    from mmpretrain import ImageClassificationInferencer

    inferencer = ImageClassificationInferencer(*classifier, device='cpu')
    (sample,) = inferencer([photo], return_datasamples=True)
    (prediction,) = ConfigPredictor(*classifier)(photo)
    np.testing.assert_allclose(sample.iterate_scores, prediction.probabilities, atol=1e-6)
    (result,) = inferencer([photo], show_dir=str(tmp_path))
    assert result['pred_class'] == prediction.top(1)[-1][0].name and (tmp_path / '2.png').exists()


@pytest.mark.parametrize('stage', ['backbone', 'neck', 'pre_logits'])
def test_mmpretrain_feature_extractor(classifier, photo, stage):
    from mmpretrain import FeatureExtractor

    extractor = FeatureExtractor(*classifier, device='cpu')
    (feature,) = extractor(photo, stage=stage)
    width = extractor.model.head.wrapped.in_channels if hasattr(extractor.model.head.wrapped, 'in_channels') else None
    if stage == 'pre_logits':  # of the last iterate
        assert feature.shape == (width,)
        return
    assert isinstance(feature, tuple) and len(feature) == 3, 'an entry for each iterate'
    tensors = [f[-1] if isinstance(f, tuple) else f for f in feature]
    assert all(isinstance(f, torch.Tensor) and f.shape[0] == width for f in tensors)
    assert all(f.dim() == (3 if stage == 'backbone' else 1) for f in tensors)
    assert not torch.equal(tensors[0], tensors[2])
