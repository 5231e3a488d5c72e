# ResNet-152 of mmpretrain
_base_ = '../image_classifier.py'
model = dict(backbone=dict(type='ResNet', depth=152), head=dict(head=dict(in_channels=2048)))
