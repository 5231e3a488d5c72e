# phase one: TSN-18 on any list of "file label" lines
_base_ = [
    '_base_/models/tsn_r18.py',
    '_base_/datasets/video_list_frames.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
train_cfg = dict(max_epochs=16, val_interval=8)
auto_scale_lr = dict(base_batch_size=8)
