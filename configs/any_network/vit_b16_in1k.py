# ViT: the MLP of the last block; h reads two halves of its tokens
_base_ = ['mmpretrain::vision_transformer/vit-base-p16_32xb128-mae_in1k.py', '../_base_/schedules/fine_tuning.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='AdaptiveRecurrentBackbone',
        backbone=_base_.model.backbone,
        input_shape=(3, 224, 224),
        num_iterations=3,
        block='layers.11.ffn.layers',
        dynamic='0.0',
        feedback_layout='channels_last',
        pool_kernel=99,
        pool_stride=98,
    ),
    head=dict(_delete_=True, type='AdaptiveRecurrentClsHead', head=_base_.model.head),
)

globals().update(_base_.fine_tuning)
load_from = (
    'https://download.openmmlab.com/mmclassification/v0/vit/vit-base-p16_pt-32xb128-mae_in1k_20220623-4c544545.pth'
)
