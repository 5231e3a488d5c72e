# CORnet-Z, a quarter as wide, on 20 classes of Tiny ImageNet at 32 px
_base_ = ['../_base_/models/comparators/cornet_z.py', '../_base_/comparators_tiny_imagenet.py']
model = dict(backbone=dict(width=0.25), head=dict(head=dict(in_channels=128, **_base_.small_head)))
