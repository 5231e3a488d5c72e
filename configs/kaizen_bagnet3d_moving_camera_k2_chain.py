# streams: the recurrent network, trained on, on chains of six windows in each of which it goes on writing its weights
_base_ = 'kaizen_bagnet3d_moving_camera_k2.py'
load_from = 'kaizen_mm::kaizen_bagnet3d_moving_camera'
model = dict(type='ChainedRecognizer3D', decay=0.5, truncate=3)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ChainedWindows',
        windows=6,
        cut=0.15,
        told=0.5,
        dataset=dict(
            type='MovingDigitsInMemory',
            split='train',
            classes=6,  # those that a window tells
            camera=1.0,
            clutter=1.0,
            distractor=0.0,
            size=32,
            num_frames=96,
            num_train=4000,
        ),
    )
)
train_cfg = dict(max_epochs=4, val_interval=4)
optim_wrapper = dict(optimizer=dict(lr=0.05))
