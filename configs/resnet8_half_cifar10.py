# when it helps: the static network, half as wide
_base_ = 'resnet8_cifar10.py'
model = dict(backbone=dict(backbone=dict(widths=(8, 16, 32))))
train_cfg = dict(max_epochs=6, val_interval=6)
