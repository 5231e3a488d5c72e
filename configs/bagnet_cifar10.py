# when it helps: a static network that sees patches of 4 x 4 pixels
_base_ = [
    '_base_/models/bagnet2d.py',
    '_base_/datasets/cifar10.py',
    '_base_/schedules/cifar10.py',
    '_base_/image_runtime.py',
]
train_cfg = dict(max_epochs=20, val_interval=20)
