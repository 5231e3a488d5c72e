# STC-ResNet-101 (Diba et al., arXiv:1806.07754)
_base_ = 'resnet18_3d.py'
model = dict(
    backbone=dict(type='STCResNet3d', depth=101, inflate_style='3x3x3'), cls_head=dict(head=dict(in_channels=2048))
)
