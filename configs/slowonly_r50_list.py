# phase one: SlowOnly-50 of Kinetics-400, fine-tuned on any list of "file label" lines
_base_ = [
    '_base_/models/slowonly_r50.py',
    '_base_/datasets/video_list_8x8.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
load_from = {{_base_.kinetics_checkpoint}}
default_hooks = dict(checkpoint_check=dict(new_classifier=True))
train_cfg = dict(max_epochs=10, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=8)
