# R(2+1)D: the spatial part of the last block's first convolution; h reads 3 x 3 parts of the image
_base_ = [
    'mmaction::recognition/r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb.py',
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
        dynamic='conv1.conv.conv_s',
        feedback='conv2',
        pool_kernel=(1, 3, 3),
        pool_stride=2,
    ),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head),
)

# clips of the size that the network is built for, not 256
test_pipeline = [
    dict(type='CenterCrop', crop_size=224) if step.type == 'ThreeCrop' else step for step in _base_.test_pipeline
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/r2plus1d/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb/r2plus1d_r34_8xb8-8x8x1-180e_kinetics400-rgb_20220812-47cfe041.pth'
