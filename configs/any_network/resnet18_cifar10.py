# ResNet for CIFAR: as for ImageNet, with a last map of 4 x 4
_base_ = ['mmpretrain::resnet/resnet18_8xb16_cifar10.py', '../_base_/schedules/fine_tuning.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 32, 32),
        num_iterations=3,
        block='layer4.1',
        dynamic='conv1',
        feedback='bn2',
        pool_kernel=2,
        pool_stride=2,
    ),
    neck=dict(_delete_=True, type='AdaptiveRecurrentNeck', neck=_base_.model.neck),
    head=dict(_delete_=True, type='AdaptiveRecurrentClsHead', head=_base_.model.head),
)

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmclassification/v0/resnet/resnet18_b16x8_cifar10_20210528-bd6371c8.pth'
