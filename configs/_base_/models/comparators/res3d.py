# Res3D (Tran et al., arXiv:1708.05038): 3x7x7 first, no pooling
_base_ = 'resnet18_3d.py'
model = dict(backbone=dict(type='ResNet3d', conv1_kernel=(3, 7, 7), with_pool1=False))
