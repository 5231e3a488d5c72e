# SlowOnly-18, half as wide as usual, with its last block to be made recurrent: with one iteration it is the plain
# network
model = dict(
    type='Recognizer3D',
    backbone=dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(
            type='ResNet3dSlowOnly',
            depth=18,
            pretrained=None,
            base_channels=32,
            lateral=False,
            conv1_kernel=(1, 7, 7),
            conv1_stride_t=1,
            pool1_stride_t=1,
            inflate=(0, 0, 1, 1),
            norm_eval=False,
        ),
        input_shape=(3, 4, 112, 112),
        block='layer4.1',
        dynamic='conv1.conv',
        feedback='conv2',
        num_iterations=1,
        pool_kernel=(4, 3, 3),
        pool_stride=1,
    ),
    cls_head=dict(
        type='AdaptiveRecurrentHead',
        head=dict(type='I3DHead', num_classes=400, in_channels=256, dropout_ratio=0.5, average_clips='prob'),
        loss_cls=dict(type='KaizenLoss'),
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], format_shape='NCTHW'
    ),
)
