# what all image networks have but the backbone
model = dict(
    type='ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='AdaptiveRecurrentClsHead',
        head=dict(
            type='LinearClsHead',
            num_classes=1000,
            loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        ),
        loss=dict(type='KaizenLoss'),
    ),
    data_preprocessor=dict(
        type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
    ),
)
