# ShaResNet-34
_base_ = '../image_classifier.py'
model = dict(backbone=dict(type='ShaResNet', depth=34), head=dict(head=dict(in_channels=512)))
