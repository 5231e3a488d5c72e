# when it helps: the static network with one self-attention over the pieces of the clip before its last block
_base_ = 'bagnet3d_moving_camera.py'
model = dict(
    backbone=dict(
        input_shape=(1, 16, 32, 32),
        backbone=dict(contexts=[None, None, dict(type='PositionAttention', channels=32, size=(4, 8, 8), width=32)]),
    )
)
