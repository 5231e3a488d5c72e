# phase one has two of the three epochs
_base_ = 'comparison.py'
train_cfg = dict(max_epochs=2, val_interval=2)
