# our full method, three iterations, on the embedded data set
_base_ = [
    '_base_/models/kaizen_mfnet3d_n9.py',
    '_base_/datasets/moving_digits.py',
    '_base_/schedules/phase_two.py',
    '_base_/default_runtime.py',
]
model = dict(
    # 56 px give a feedback map of 2 x 2, smaller than the kernel of h: its pooling is padded
    backbone=dict(num_iterations=3, input_size=(16, 56, 56), pool_padding=(0, 1, 1), channels_last=True),
    cls_head=dict(head=dict(num_classes={{_base_.num_classes}}, dropout_ratio=0.2)),
)
phase_one = dict(train_cfg=dict(max_epochs=12, val_interval=4))
train_cfg = dict(max_epochs=8, val_interval=4)
auto_scale_lr = dict(base_batch_size=16)
