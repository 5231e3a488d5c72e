# the global adapter: frames of any size, and h has the rate of the rest
_base_ = 'kaizen_tsn_r18_list.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone.backbone,
        block='layer4.1',
        dynamic='conv1.conv',
        feedback='conv2',
        adapter='global',
        num_iterations=3,
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=1.0))))
