# 3D-ResNet-18 (Hara et al.), on any list of "file label" lines
_base_ = [
    '../_base_/models/comparators/resnet18_3d.py',
    '../_base_/datasets/video_list.py',
    '../_base_/schedules/phase_one.py',
    '../_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
train_cfg = dict(max_epochs=40)
auto_scale_lr = dict(base_batch_size=8)
