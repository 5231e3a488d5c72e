# feedback over the last two stages: h reads what the last one gives and rewrites the convolutions of the one before.
# With the global adapter, h has the rate of the rest
_base_ = 'kaizen_resnet18_tiny_imagenet_k3.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='ResNet', depth=18),
        block=['layer3', 'layer4'],
        dynamic=[f'layer3.{block}.conv{conv}' for block in (0, 1) for conv in (1, 2)],
        adapter='global',
        num_iterations=2,
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=1.0))))
