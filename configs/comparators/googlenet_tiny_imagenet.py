# GoogLeNet, a quarter as wide, on 20 classes of Tiny ImageNet at 32 px
_base_ = ['../_base_/models/comparators/googlenet.py', '../_base_/comparators_tiny_imagenet.py']
model = dict(
    backbone=dict(_delete_=True, type='NarrowBackbone', width=0.25, backbone=_base_.model.backbone),
    head=dict(head=dict(in_channels=256, **_base_.small_head)),
)
