# ShuffleNet 2x, a quarter as wide, on 20 classes of Tiny ImageNet at 32 px
_base_ = ['../_base_/models/comparators/shufflenet_2x.py', '../_base_/comparators_tiny_imagenet.py']
model = dict(backbone=dict(widen_factor=0.5), head=dict(head=dict(in_channels=480, **_base_.small_head)))
