# ConvNeXt: the first two layers of the last block; h reads what is added to its shortcut, in 2 x 2 parts
_base_ = ['mmpretrain::convnext/convnext-tiny_32xb128_in1k.py', '../_base_/schedules/fine_tuning.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 224, 224),
        num_iterations=3,
        block='stages.3.2',
        dynamic=['depthwise_conv', 'pointwise_conv1'],
        feedback='pointwise_conv2',
        feedback_layout='channels_last',
        pool_kernel=4,
        pool_stride=3,
    ),
    head=dict(_delete_=True, type='AdaptiveRecurrentClsHead', head=_base_.model.head),
)

globals().update(_base_.fine_tuning)
load_from = (
    'https://download.openmmlab.com/mmclassification/v0/convnext/convnext-tiny_32xb128_in1k_20221207-998cf3e9.pth'
)
