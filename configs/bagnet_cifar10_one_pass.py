# when it helps: the static network with the paper's h in one pass, which reads each layer's own input
_base_ = 'bagnet_cifar10.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='InputAdaptedBackbone',
        backbone=dict(type='BagNet2d', channels_last=True),
        dynamic=[f'block{block}.conv{conv}' for block in (1, 2) for conv in (1, 2)],
        input_shape=(3, 32, 32),
        pool_kernel=4,
        pool_stride=4,
        alpha=0.1,
    )
)
