"""The report on what a recurrence changes, of classifiers and recognizers."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from kaizen_mm.introspection import recurrence_report
from tests.conftest import ROOT


@pytest.mark.parametrize(
    'scope, config, shape',
    [
        ('mmpretrain', 'kaizen_resnet18_tiny_imagenet_k3.py', (2, 3, 48, 48)),
        ('mmaction', 'kaizen_slowonly_r18_list.py', (2, 1, 3, 4, 112, 112)),
    ],
)
def test_classifiers_and_recognizers_are_reported_on(scope, config, shape):
    init_default_scope(scope)
    model = MODELS.build(Config.fromfile(ROOT / 'configs' / config).model)
    if scope == 'mmpretrain':

        def forward_iterates(x):
            return model.head.iterate_scores(model.extract_feat(x))
    else:

        def forward_iterates(x):
            return model.cls_head.iterate_scores(model.extract_feat(x)[0])

    x = torch.randn(shape)
    with pytest.raises(ValueError, match='forward_iterates must be given for a'):
        recurrence_report(model, x)
    report = recurrence_report(model, x, forward_iterates=forward_iterates)
    (change,) = report.weight_change.values()
    assert change.shape == (2, 1, 2) and report.logit_change.shape == (2, 2)
    assert list(report.weight_change) == ['backbone.layer4.1']
