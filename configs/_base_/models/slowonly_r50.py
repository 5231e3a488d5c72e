# mmaction2's SlowOnly-50 with its last block to be made recurrent: with one iteration it is the plain network
_base_ = 'slowonly_r18.py'
model = dict(
    backbone=dict(
        backbone=dict(depth=50, base_channels=64),
        input_shape=(3, 8, 224, 224),
        block='layer4.2',
        feedback='conv3',
        pool_kernel=(8, 4, 4),
        pool_stride=3,
    ),
    cls_head=dict(head=dict(in_channels=2048)),
)

# trained on Kinetics-400 by mmaction2
kinetics_checkpoint = 'https://download.openmmlab.com/mmaction/v1.0/recognition/slowonly/slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb/slowonly_imagenet-pretrained-r50_8xb16-8x8x1-steplr-150e_kinetics400-rgb_20220901-df42dc84.pth'
