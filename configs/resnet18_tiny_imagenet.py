# phase one: mmpretrain's ResNet-18 on 20 classes of Tiny ImageNet
_base_ = [
    '_base_/models/resnet18.py',
    '_base_/datasets/tiny_imagenet_48px.py',
    '_base_/schedules/phase_one.py',
    '_base_/image_runtime.py',
]
model = dict(head=dict(head=dict(num_classes={{_base_.num_classes}})))
train_cfg = dict(max_epochs=8, val_interval=4)
