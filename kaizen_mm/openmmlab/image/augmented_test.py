"""Tests on several views of an image, whose scores are averaged, for every iterate."""

from typing import List

from mmengine.config import Config, ConfigDict
from mmpretrain.models import AverageClsScoreTTA
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample


@MODELS.register_module()
class AverageIterateScoresTTA(AverageClsScoreTTA):
    """mmpretrain's ``AverageClsScoreTTA`` that averages ``iterate_scores`` as well, iterate by iterate.

    mmpretrain's own takes those of the first view over. The image configs name this one as their ``tta_model``.
    """

    def _merge_single_sample(self, data_samples: List[DataSample]) -> DataSample:
        merged = super()._merge_single_sample(data_samples)
        if 'iterate_scores' in merged:
            scores = sum(sample.iterate_scores for sample in data_samples) / len(data_samples)
            merged.set_field(scores, 'iterate_scores', field_type='data')
        return merged


def test_on_views(cfg: Config) -> None:
    """Puts what ``tta_model`` and ``tta_pipeline`` say into a config that is going to be tested, in place.

    Without them the views are the image and its mirror image, and their scores are averaged, as in mmpretrain's tools.

    Raises:
        ValueError: The config is none of images, or its test data are loaded by no pipeline.
    """
    if cfg.get('default_scope') != 'mmpretrain':
        raise ValueError(
            f'--tta needs default_scope mmpretrain, got {cfg.get("default_scope")!r}; the views of a video are the '
            'clips and crops of its test pipeline'
        )
    pipeline = cfg.test_dataloader.dataset.get('pipeline')
    if not pipeline:
        raise ValueError(
            f'--tta needs test_dataloader.dataset.pipeline; {cfg.test_dataloader.dataset.type} of this config has none'
        )
    if 'tta_pipeline' not in cfg:
        mirrored = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
        cfg.tta_pipeline = [*pipeline[:-1], dict(type='TestTimeAug', transforms=[mirrored, [pipeline[-1]]])]
    cfg.model = ConfigDict(cfg.get('tta_model') or dict(type='AverageIterateScoresTTA'), module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
