# when it helps: the static network of patches on 20 classes of Tiny ImageNet, in the recipe of CIFAR-10
_base_ = [
    '_base_/models/bagnet2d.py',
    '_base_/datasets/tiny_imagenet_32px.py',
    '_base_/schedules/cifar10.py',
    '_base_/image_runtime.py',
]
model = dict(
    head=dict(head=dict(num_classes={{_base_.num_classes}})),
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
)
train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=20, val_interval=20)
