# three iterations of the last block's first convolution; trains phase one first
_base_ = [
    '_base_/models/resnet18.py',
    '_base_/datasets/tiny_imagenet_48px.py',
    '_base_/schedules/phase_two.py',
    '_base_/image_runtime.py',
]
model = dict(backbone=dict(num_iterations=3), head=dict(head=dict(num_classes={{_base_.num_classes}})))
phase_one = dict(train_cfg=dict(max_epochs=8, val_interval=4))
train_cfg = dict(max_epochs=4, val_interval=4)
# the rate of h is then 2; with 0.1 the iterates stay all but identical (docs/any_network.md)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=4000.0))))
