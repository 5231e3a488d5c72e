# UniFormer: the MLP of the last block; h reads two halves in time
_base_ = [
    'mmaction::recognition/uniformer/uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb.py',
    '../_base_/schedules/fine_tuning.py',
    '../_base_/datasets/kinetics400_train.py'
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 16, 224, 224),
        num_iterations=3,
        block='blocks4.2.mlp', dynamic='fc1',
        feedback_layout='channels_last', pool_kernel=196, pool_stride=196),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head))

optim_wrapper = _base_.fine_tuning.optim_wrapper
param_scheduler = _base_.fine_tuning.param_scheduler
custom_hooks = _base_.fine_tuning.custom_hooks
log_processor = _base_.fine_tuning.log_processor
test_evaluator = dict(type='IterateAccuracy')
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/uniformerv1/uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb_20221219-c630a037.pth'
