# when it helps: the static network of clips with the global adapter in one pass, which reads each layer's own input
_base_ = 'bagnet3d_moving_camera.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='InputAdaptedBackbone',
        backbone=dict(
            type='BagNet3d',
            in_chans=1,
            stem=(16, 5, 2),
            widths=(24, 32, 32),
            kernels=(1, 3, 1),
            strides=(1, 2, 1),
            channels_last=True,
        ),
        dynamic=[f'block{block}.conv{conv}' for block in (1, 2, 3) for conv in (1, 2)],
        input_shape=(1, 16, 32, 32),
        adapter='global',
        hidden=8,
        rank=2,
    )
)
