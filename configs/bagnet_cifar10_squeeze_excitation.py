# when it helps: the static network with squeeze-and-excitation (timm's) of each block's input
_base_ = 'bagnet_cifar10.py'
model = dict(
    backbone=dict(
        backbone=dict(contexts=[dict(type='timm.layers.SqueezeExcite', channels=32, rd_channels=14) for _ in (1, 2)]),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.2))  # better than 0.1 on the photos for choices
