# when it helps: the static network, half as wide, on photos of 16 px
_base_ = 'resnet8_half_cifar10.py'
train_dataloader = dict(dataset=dict(side=16))
val_dataloader = dict(dataset=dict(side=16))
test_dataloader = dict(dataset=dict(side=16))
train_cfg = dict(max_epochs=8, val_interval=8)
