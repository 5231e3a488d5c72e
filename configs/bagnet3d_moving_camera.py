# when it helps: a static network of small receptive field on moving digits seen by a moving camera
_base_ = [
    '_base_/models/bagnet3d.py',
    '_base_/datasets/moving_camera.py',
    '_base_/schedules/cifar10.py',
    '_base_/default_runtime.py',
]
train_cfg = dict(max_epochs=10, val_interval=10)
auto_scale_lr = dict(base_batch_size=32)
