# ResNet-18 with its last block to be made recurrent: with one iteration it is the plain network
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='ResNet', depth=18),
        input_shape=(3, 48, 48),
        block='layer4.1',
        dynamic='conv1',
        feedback='bn2',
        num_iterations=1,
        pool_kernel=3,
        pool_padding=1,
    ),
    neck=dict(type='AdaptiveRecurrentNeck', neck=dict(type='GlobalAveragePooling')),
    head=dict(
        type='AdaptiveRecurrentClsHead',
        head=dict(type='LinearClsHead', num_classes=20, in_channels=512, loss=dict(type='CrossEntropyLoss')),
        loss=dict(type='KaizenLoss'),
    ),
    data_preprocessor=dict(
        type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    ),
)
