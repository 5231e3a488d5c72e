# table 1, baseline-big: five convolutions, two fully connected layers, as many parameters as the
# recurrent network has; trained for the epochs of both phases
_base_ = 'mnist.py'
model = dict(backbone=dict(type='MnistCNNBig', channels_last=True))
train_cfg = dict(max_epochs=80, val_interval=80)
