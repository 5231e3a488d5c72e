# X3D: the first convolution of the last block; h reads 3 x 3 parts of the image
_base_ = [
    'mmaction::recognition/x3d/x3d_s_13x6x1_facebook-kinetics400-rgb.py',
    '../_base_/schedules/fine_tuning.py',
    '../_base_/datasets/kinetics400_train.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 13, 182, 182),
        num_iterations=3,
        block='layer4.6',
        dynamic='conv1.conv',
        feedback='conv3',
        pool_kernel=(13, 2, 2),
        pool_stride=2,
    ),
    cls_head=dict(_delete_=True, type='AdaptiveRecurrentHead', head=_base_.model.cls_head),
)

train_pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=13, frame_interval=6, num_clips=1, target_fps=30),
    dict(type='DecordDecode'),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(182, 182), keep_ratio=False),
    *_base_.train_pipeline[-3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

globals().update(_base_.fine_tuning)
val_evaluator = None  # the stock config does not validate
load_from = 'https://download.openmmlab.com/mmaction/v1.0/recognition/x3d/facebook/x3d_s_13x6x1_facebook-kinetics400-rgb_20201027-623825a0.pth'
