# SGD, h at 20 times the rate of the rest
_base_ = 'kaizen_resnet18_tiny_imagenet_k3.py'
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=20.0))),
)
