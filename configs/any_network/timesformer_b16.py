# TimeSformer: the MLP of the last block; h reads two halves of its tokens
_base_ = [
    'mmaction::recognition/timesformer/timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb.py',
    '../_base_/schedules/fine_tuning.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 8, 224, 224),
        num_iterations=3,
        block='transformer_layers.layers.11.ffns.0.layers',
        dynamic='0.0',
        feedback_layout='channels_last',
        pool_kernel=785,
        pool_stride=784,
    ),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head),
)

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/timesformer/timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb/timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb_20220815-a4d0d01f.pth'
