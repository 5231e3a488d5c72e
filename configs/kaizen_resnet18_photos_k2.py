# the route for few photos: phase one fine-tunes ResNet-18 of ImageNet on a folder of photos, phase two makes its last
# block recurrent; phase_one.load_from names the checkpoint: a file or an address, of mmpretrain, timm or torchvision,
# or timm::NAME
_base_ = [
    '_base_/models/resnet18_global.py',
    '_base_/datasets/photos.py',
    '_base_/schedules/phase_two.py',
    '_base_/image_runtime.py',
]
model = dict(backbone=dict(num_iterations=2), head=dict(head=dict(num_classes={{_base_.num_classes}})))
# the rates are not tuned
phase_one = dict(
    load_from={{_base_.imagenet_checkpoint}},
    default_hooks=dict(checkpoint_check=dict(new_classifier=True)),
    train_cfg=dict(max_epochs=10, val_interval=5),
    optim_wrapper=dict(optimizer=dict(lr=1e-4)),
)
train_cfg = dict(max_epochs=5, val_interval=5)
# h has the rate of the rest, as the global adapter has
optim_wrapper = dict(optimizer=dict(lr=1e-4), paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=1.0))))
auto_scale_lr = dict(base_batch_size=16)
