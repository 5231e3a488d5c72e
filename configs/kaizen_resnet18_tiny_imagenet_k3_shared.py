# all iterates share one set of running statistics
_base_ = 'kaizen_resnet18_tiny_imagenet_k3.py'
model = dict(backbone=dict(norm_statistics='shared'))
