# EfficientNet: the first convolution of the last block, which has no shortcut; h reads 3 x 3 parts
_base_ = ['mmpretrain::efficientnet/efficientnet-b0_8xb32_in1k.py', '../_base_/schedules/fine_tuning.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 224, 224),
        num_iterations=3,
        block='layers.5.4',
        dynamic='expand_conv.conv',
        pool_kernel=3,
        pool_stride=2,
    ),
    neck=dict(_delete_=True, type='AdaptiveRecurrentNeck', neck=_base_.model.neck),
    head=dict(_delete_=True, type='AdaptiveRecurrentClsHead', head=_base_.model.head),
)

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmclassification/v0/efficientnet/efficientnet-b0_3rdparty_8xb32_in1k_20220119-a7e2a0b1.pth'
