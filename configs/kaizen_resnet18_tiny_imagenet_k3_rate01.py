# the rate of h is 0.1
_base_ = 'kaizen_resnet18_tiny_imagenet_k3.py'
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=200.0))))
