# when it helps: the static network with one self-attention over the patches before its second block
_base_ = 'bagnet_cifar10.py'
model = dict(
    backbone=dict(
        input_shape=(3, 32, 32),
        backbone=dict(contexts=[None, dict(type='PositionAttention', channels=32, size=(8, 8), width=10)]),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.2))  # better than the static network's 0.1 on the photos for choices
