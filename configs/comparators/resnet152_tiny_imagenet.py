# ResNet-152, a quarter as wide, on 20 classes of Tiny ImageNet at 32 px
_base_ = ['../_base_/models/comparators/resnet152.py', '../_base_/comparators_tiny_imagenet.py']
model = dict(
    backbone=dict(_delete_=True, type='NarrowBackbone', width=0.25, backbone=_base_.model.backbone),
    head=dict(head=dict(in_channels=512, **_base_.small_head)),
)
