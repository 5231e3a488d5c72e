# GoogLeNet of torchvision: with batch norm, without auxiliary classifiers
_base_ = '../image_classifier.py'
model = dict(
    backbone=dict(type='TorchvisionBackbone', model_name='googlenet', aux_logits=False, init_weights=False),
    head=dict(head=dict(in_channels=1024)),
)
