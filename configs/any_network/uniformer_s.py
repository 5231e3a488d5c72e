# UniFormer: the MLP of the last block; h reads two halves in time
_base_ = [
    'mmaction::recognition/uniformer/uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb.py',
    '../_base_/schedules/fine_tuning.py',
    '../_base_/datasets/kinetics400_train.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 16, 224, 224),
        num_iterations=3,
        block='blocks4.2.mlp',
        dynamic='fc1',
        feedback_layout='channels_last',
        pool_kernel=196,
        pool_stride=196,
    ),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head),
)

globals().update(_base_.fine_tuning)
val_evaluator = None  # the stock config does not validate
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/uniformerv1/uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb_20221219-c630a037.pth'
