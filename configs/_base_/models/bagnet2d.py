# A small network that sees patches of 4 x 4 pixels, 6,282 parameters. With more than one iteration its two residual
# blocks are one recurrent block: h reads the last map and rewrites all of their convolutions
_base_ = 'image_classifier.py'
model = dict(
    backbone=dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='BagNet2d', channels_last=True),
        block=['block1', 'block2'],
        dynamic=[f'block{block}.conv{conv}' for block in (1, 2) for conv in (1, 2)],
        adapter='global',
        hidden=4,
        rank=1,
        freeze_dynamic=False,
        num_iterations=1,
    ),
    neck=dict(_delete_=True, type='AdaptiveRecurrentNeck', neck=dict(type='GlobalAveragePooling')),
    head=dict(
        head=dict(in_channels=32, num_classes=10, loss=dict(_delete_=True, type='CrossEntropyLoss')),
        loss=dict(gamma_first=1.0),
    ),
    data_preprocessor=dict(mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7], to_rgb=False),
)
