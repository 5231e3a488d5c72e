# 16 units, 5.7 M parameters: the paper's ImageNet baseline
_base_ = 'image_classifier.py'
model = dict(backbone=dict(type='MFNet2d', variant='mfnet2d'), head=dict(head=dict(in_channels=768)))
