# phase one alone of kaizen_mfnet_digits.py
_base_ = [
    '_base_/models/mfnet3d_n9.py',
    '_base_/datasets/moving_digits.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(channels_last=True), cls_head=dict(head=dict(num_classes={{_base_.num_classes}}, dropout_ratio=0.2))
)
train_cfg = dict(max_epochs=12, val_interval=4)
auto_scale_lr = dict(base_batch_size=16)
