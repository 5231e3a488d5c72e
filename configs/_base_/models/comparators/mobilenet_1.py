# MobileNet-1 of timm: version 1, full width
_base_ = '../image_classifier.py'
model = dict(backbone=dict(type='TIMMBackbone', model_name='mobilenetv1_100'), head=dict(head=dict(in_channels=1024)))
