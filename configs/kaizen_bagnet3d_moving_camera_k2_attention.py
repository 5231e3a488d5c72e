# when it helps: the network with one self-attention, recurrent from the start with the global adapter
_base_ = 'kaizen_bagnet3d_moving_camera_k2.py'
model = dict(
    backbone=dict(
        input_shape=(1, 16, 32, 32),
        backbone=dict(contexts=[None, None, dict(type='PositionAttention', channels=32, size=(4, 8, 8), width=32)]),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.2))  # better than 0.1 on the clips for choices; without recurrence 0.1 is
