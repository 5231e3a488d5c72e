# ResNet-18 of mmpretrain
_base_ = '../image_classifier.py'
model = dict(backbone=dict(type='ResNet', depth=18), head=dict(head=dict(in_channels=512)))
