# phase one on any list of "file label" lines, sized for a small data set and for CPUs
_base_ = [
    '_base_/models/mfnet3d_n9.py',
    '_base_/datasets/video_list.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
model = dict(backbone=dict(channels_last=True), cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
train_cfg = dict(max_epochs=40)
auto_scale_lr = dict(base_batch_size=8)
