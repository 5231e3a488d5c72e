# MobileNetV2: the first convolution of the last block, which has no shortcut; h reads 3 x 3 parts
_base_ = ['mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py', '../_base_/schedules/fine_tuning.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 224, 224),
        num_iterations=3,
        block='layer7.0',
        dynamic='conv.0.conv',
        pool_kernel=3,
        pool_stride=2,
    ),
    neck=dict(_delete_=True, type='AdaptiveRecurrentNeck', neck=_base_.model.neck),
    head=dict(_delete_=True, type='AdaptiveRecurrentClsHead', head=_base_.model.head),
)

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmclassification/v0/mobilenet_v2/mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth'
