# I3D: the last bottleneck; h reads what is added to its shortcut, in 2 x 2 parts of the image
_base_ = [
    'mmaction::recognition/i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb.py',
    '../_base_/schedules/fine_tuning.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 32, 224, 224),
        num_iterations=3,
        block='layer4.2',
        dynamic='conv1.conv',
        feedback='conv3',
        pool_kernel=(4, 4, 4),
        pool_stride=3,
    ),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head),
)

# clips of the size that the network is built for, not 256
test_pipeline = [
    dict(type='CenterCrop', crop_size=224) if step.type == 'ThreeCrop' else step for step in _base_.test_pipeline
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/i3d/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb/i3d_imagenet-pretrained-r50_8xb8-32x2x1-100e_kinetics400-rgb_20220812-e213c223.pth'
