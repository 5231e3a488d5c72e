# ShuffleNet 2x of mmpretrain: version 1, three groups
_base_ = '../image_classifier.py'
model = dict(backbone=dict(type='ShuffleNetV1', groups=3, widen_factor=2.0), head=dict(head=dict(in_channels=1920)))
