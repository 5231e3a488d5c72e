# when it helps: h in one pass for the first convolution of each block, and a second pass that rewrites the other one
_base_ = 'kaizen_bagnet_cifar10_k2_paper.py'
model = dict(
    backbone=dict(
        backbone=dict(
            _delete_=True,
            type='InputAdaptedBackbone',
            backbone=dict(type='BagNet2d', channels_last=True),
            dynamic=['block1.conv1', 'block2.conv1'],
            input_shape=(3, 32, 32),
            last_iterate=True,
            pool_kernel=4,
            pool_stride=4,
            alpha=0.1,
        ),
        block=['wrapped.block1', 'wrapped.block2'],
        dynamic=['block1.conv2', 'block2.conv2'],
    )
)
