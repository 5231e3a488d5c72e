# when it helps: the static network with a global context (timm's) of each block's input
_base_ = 'bagnet_cifar10.py'
model = dict(
    backbone=dict(
        input_shape=(3, 32, 32),
        backbone=dict(contexts=[dict(type='timm.layers.GlobalContext', channels=32, rd_channels=13) for _ in (1, 2)]),
    )
)
