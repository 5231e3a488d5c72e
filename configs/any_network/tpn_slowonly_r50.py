# TPN on SlowOnly: the neck runs for each iterate
_base_ = [
    'mmaction::recognition/tpn/tpn-slowonly_imagenet-pretrained-r50_8xb8-8x8x1-150e_kinetics400-rgb.py',
    '../_base_/schedules/fine_tuning.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 8, 224, 224),
        num_iterations=3,
        block='layer4.2',
        dynamic='conv1.conv',
        feedback='conv3',
        pool_kernel=(8, 4, 4),
        pool_stride=3,
    ),
    neck=dict(_delete_=True, type='AdaptiveRecurrentNeck', neck=_base_.model.neck, num_iterations=3),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head),
)

# clips of the size that the network is built for, not 256
test_pipeline = [
    dict(type='CenterCrop', crop_size=224) if step.type == 'ThreeCrop' else step for step in _base_.test_pipeline
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/tpn/tpn-slowonly_imagenet-pretrained-r50_8xb8-8x8x1-150e_kinetics400-rgb/tpn-slowonly_imagenet-pretrained-r50_8xb8-8x8x1-150e_kinetics400-rgb_20220913-fed3f4c1.pth'
