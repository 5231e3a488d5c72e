# ResNet-18 with its last block to be made recurrent by the global adapter, for photos of any size: with one iteration
# it is the plain network
_base_ = 'resnet18.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='ResNet', depth=18),
        block='layer4.1',
        dynamic='conv1',
        feedback='bn2',
        adapter='global',
        num_iterations=1,
    )
)

# trained on ImageNet by mmpretrain
imagenet_checkpoint = (
    'https://download.openmmlab.com/mmclassification/v0/resnet/resnet18_8xb32_in1k_20210831-fbbb1da6.pth'
)
