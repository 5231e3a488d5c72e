# SqueezeNet 1.1 of torchvision; its classifier, a 1x1 convolution, is the head's linear layer
_base_ = '../image_classifier.py'
model = dict(
    backbone=dict(type='TorchvisionBackbone', model_name='squeezenet1_1'), head=dict(head=dict(in_channels=512))
)
