# phase one: ResNet-18 of ImageNet, fine-tuned on a folder of photos
_base_ = [
    '_base_/models/resnet18_global.py',
    '_base_/datasets/photos.py',
    '_base_/schedules/phase_one.py',
    '_base_/image_runtime.py',
]
model = dict(head=dict(head=dict(num_classes={{_base_.num_classes}})))
load_from = {{_base_.imagenet_checkpoint}}
default_hooks = dict(checkpoint_check=dict(new_classifier=True))
train_cfg = dict(max_epochs=10, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=16)
