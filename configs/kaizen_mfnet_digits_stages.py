# feedback over three stages, two iterations: h reads what the last stage gives and rewrites the convolutions that open
# the units of conv3. With the global adapter, h has the rate of the rest
_base_ = 'kaizen_mfnet_digits.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='MFNet3d', variant='mfnet3d_n9', channels_last=True),
        block=['conv3', 'conv4', 'conv5'],
        dynamic=[f'conv3.B0{unit}.conv_i{conv}.conv' for unit in (1, 2, 3) for conv in (1, 2)],
        adapter='global',
        num_iterations=2,
    )
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=1.0))))
