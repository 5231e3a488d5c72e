# Video Swin: the MLP of the last block; h reads two halves in time
_base_ = [
    'mmaction::recognition/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py',
    '../_base_/schedules/fine_tuning.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 32, 224, 224),
        num_iterations=3,
        block='layers.3.blocks.1.mlp',
        dynamic='fc1',
        feedback_layout='channels_last',
        pool_kernel=(8, 7, 7),
        pool_stride=8,
    ),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head),
)

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-241016b2.pth'
