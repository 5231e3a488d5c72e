# phase one: SlowOnly-18 on any list of "file label" lines
_base_ = [
    '_base_/models/slowonly_r18.py',
    '_base_/datasets/video_list_4x8.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
train_cfg = dict(max_epochs=24, val_interval=6)
auto_scale_lr = dict(base_batch_size=8)
