# Swin: the MLP of the last block; h reads two halves of its tokens
_base_ = ['mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py', '../_base_/schedules/fine_tuning.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 224, 224),
        num_iterations=3,
        block='stages.3.blocks.1.ffn.layers',
        dynamic='0.0',
        feedback_layout='channels_last',
        pool_kernel=25,
        pool_stride=24,
    ),
    neck=dict(_delete_=True, type='AdaptiveRecurrentNeck', neck=_base_.model.neck),
    head=dict(_delete_=True, type='AdaptiveRecurrentClsHead', head=_base_.model.head),
)

globals().update(_base_.fine_tuning)
load_from = 'https://download.openmmlab.com/mmclassification/v0/swin-transformer/swin_tiny_224_b16x64_300e_imagenet_20210616_090925-66df6be6.pth'
