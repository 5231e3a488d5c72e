# when it helps: the static network with a depthwise convolution of 3 x 3 before its second block
_base_ = 'bagnet_cifar10.py'
model = dict(
    backbone=dict(
        input_shape=(3, 32, 32),
        backbone=dict(contexts=[None, dict(type='DepthwiseContext', dims=2, channels=32)]),
    )
)
