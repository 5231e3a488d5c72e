# STC-ResNet-101, on any list of "file label" lines
_base_ = [
    '../_base_/models/comparators/stc_resnet101.py',
    '../_base_/datasets/video_list.py',
    '../_base_/schedules/phase_one.py',
    '../_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
train_cfg = dict(max_epochs=40)
auto_scale_lr = dict(base_batch_size=8)
