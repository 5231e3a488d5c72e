# three iterations of the last block's first convolution, on any list of "file label" lines; trains phase one first
_base_ = [
    '_base_/models/tsn_r18.py',
    '_base_/datasets/video_list_frames.py',
    '_base_/schedules/phase_two.py',
    '_base_/default_runtime.py',
]
model = dict(backbone=dict(num_iterations=3), cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
phase_one = dict(train_cfg=dict(max_epochs=16, val_interval=8))
train_cfg = dict(max_epochs=8, val_interval=8)
# the rate of h is then 2, as for ResNet-18 (docs/any_network.md)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=4000.0))))
auto_scale_lr = dict(base_batch_size=8)
