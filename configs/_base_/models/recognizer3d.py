# what all video networks with clips have but the backbone
model = dict(
    type='Recognizer3D',
    cls_head=dict(
        type='AdaptiveRecurrentHead',
        head=dict(type='I3DHead', num_classes=101, dropout_ratio=0.5, average_clips='prob'),
        loss_cls=dict(type='KaizenLoss'),
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], format_shape='NCTHW'
    ),
)
