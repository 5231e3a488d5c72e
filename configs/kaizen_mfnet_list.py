# our full method, three iterations, on any list of "file label" lines; trains phase one first
_base_ = [
    '_base_/models/kaizen_mfnet3d_n9.py',
    '_base_/datasets/video_list.py',
    '_base_/schedules/phase_two.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(num_iterations=3, input_size=(16, 112, 112), channels_last=True),
    cls_head=dict(head=dict(num_classes={{_base_.num_classes}})),
)
phase_one = dict(train_cfg=dict(max_epochs=40))
train_cfg = dict(max_epochs=20)
auto_scale_lr = dict(base_batch_size=8)
