# 3D-ResNet-18 as Hara et al. (arXiv:1711.09577) have it but for its shortcuts, 1x1x1 convolutions in place of zeros
_base_ = '../recognizer3d.py'
model = dict(
    backbone=dict(
        type='ResNet3dHara',
        depth=18,
        pretrained=None,
        conv1_kernel=(7, 7, 7),
        with_pool2=False,
        temporal_strides=(1, 2, 2, 2),
        zero_init_residual=False,
    ),
    cls_head=dict(head=dict(in_channels=512)),
)
