# LTC (Varol et al., arXiv:1604.04494) for 60 frames of 58 px
_base_ = '../recognizer3d.py'
model = dict(backbone=dict(type='LTC', input_size=(60, 58, 58)), cls_head=dict(head=dict(in_channels=2048)))
