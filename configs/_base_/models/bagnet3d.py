# a network that sees pieces of 9 x 9 pixels and 9 frames, of gray clips, 28,680 parameters; with more than one
# iteration its three residual blocks are one recurrent block: h reads the last map and rewrites all convolutions
_base_ = 'recognizer3d.py'
model = dict(
    backbone=dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(
            type='BagNet3d',
            in_chans=1,
            stem=(16, 5, 2),
            widths=(24, 32, 32),
            kernels=(1, 3, 1),
            strides=(1, 2, 1),
            channels_last=True,
        ),
        block=['block1', 'block2', 'block3'],
        dynamic=[f'block{block}.conv{conv}' for block in (1, 2, 3) for conv in (1, 2)],
        adapter='global',
        hidden=8,
        rank=2,
        freeze_dynamic=False,
        num_iterations=1,
    ),
    cls_head=dict(head=dict(in_channels=32, num_classes=8, dropout_ratio=0), loss_cls=dict(gamma_first=1.0)),
    data_preprocessor=dict(mean=[89.0], std=[51.0]),
)
