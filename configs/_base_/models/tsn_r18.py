# TSN with ResNet-18, its last block to be made recurrent: with one iteration it is the plain network. Frames stand in
# the batch, so that each has weights of its own
model = dict(
    type='Recognizer2D',
    backbone=dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='mmaction.ResNet', depth=18, pretrained=None),
        input_shape=(3, 112, 112),
        block='layer4.1',
        dynamic='conv1.conv',
        feedback='conv2',
        num_iterations=1,
        pool_kernel=3,
        pool_stride=1,
    ),
    cls_head=dict(
        type='AdaptiveRecurrentHead',
        head=dict(
            type='TSNHead',
            num_classes=400,
            in_channels=512,
            spatial_type='avg',
            consensus=dict(type='AvgConsensus', dim=1),
            dropout_ratio=0.4,
            average_clips='prob',
        ),
        loss_cls=dict(type='KaizenLoss'),
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], format_shape='NCHW'
    ),
)
