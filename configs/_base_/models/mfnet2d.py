# 16 units, 5.7 M parameters: the paper's ImageNet baseline
model = dict(
    type='ImageClassifier',
    backbone=dict(type='MFNet2d', variant='mfnet2d'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='AdaptiveRecurrentClsHead',
        head=dict(
            type='LinearClsHead',
            num_classes=1000,
            in_channels=768,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')),
        loss=dict(type='KaizenLoss')),
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True))
