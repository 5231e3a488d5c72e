# the route for small sets of videos: phase one fine-tunes mmaction2's SlowOnly-50 of Kinetics-400 on any list of "file
# label" lines, phase two makes its last block recurrent; phase_one.load_from names the checkpoint, a file or an address
_base_ = [
    '_base_/models/slowonly_r50.py',
    '_base_/datasets/video_list_8x8.py',
    '_base_/schedules/phase_two.py',
    '_base_/default_runtime.py',
]
model = dict(backbone=dict(num_iterations=3), cls_head=dict(head=dict(num_classes={{_base_.num_classes}})))
# few epochs at a small rate, since longer fine-tuning of so little data overfits; the rates are not tuned
phase_one = dict(
    load_from={{_base_.kinetics_checkpoint}},
    default_hooks=dict(checkpoint_check=dict(new_classifier=True)),
    train_cfg=dict(max_epochs=10, val_interval=5),
    optim_wrapper=dict(optimizer=dict(lr=1e-4)),
)
train_cfg = dict(max_epochs=5, val_interval=5)
# the rate of h is 2, as for SlowOnly-18
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=20000.0))))
auto_scale_lr = dict(base_batch_size=8)
