# our full method, two iterations, on 20 classes of Tiny ImageNet; trains phase one first
_base_ = [
    '_base_/models/kaizen_mfnet2d_n9.py',
    '_base_/datasets/tiny_imagenet.py',
    '_base_/schedules/phase_two.py',
    '_base_/image_runtime.py',
]
model = dict(head=dict(head=dict(num_classes={{_base_.num_classes}})))
phase_one = dict(train_cfg=dict(max_epochs=30, val_interval=5))
train_cfg = dict(max_epochs=10, val_interval=5)
# the rate of h is then 0.1
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=200.0))))
auto_scale_lr = dict(base_batch_size=64)
