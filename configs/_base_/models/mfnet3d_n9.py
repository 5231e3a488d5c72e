# nine units, 0.5 M parameters: the paper's baseline
model = dict(
    type='Recognizer3D',
    backbone=dict(type='MFNet3d', variant='mfnet3d_n9'),
    cls_head=dict(
        type='AdaptiveRecurrentHead',
        head=dict(
            type='I3DHead',
            num_classes=101,
            in_channels=192,
            dropout_ratio=0.5,
            average_clips='prob'),
        loss_cls=dict(type='KaizenLoss')),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW'))
