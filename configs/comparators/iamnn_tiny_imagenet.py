# IamNN, a quarter as wide, on 20 classes of Tiny ImageNet at 32 px
_base_ = ['../_base_/models/comparators/iamnn.py', '../_base_/comparators_tiny_imagenet.py']
model = dict(backbone=dict(width=0.25, num_iterations=3), head=dict(head=dict(in_channels=512, **_base_.small_head)))
