_base_ = 'resnet18.py'
model = dict(
    backbone=dict(backbone=dict(_delete_=True, type='TIMMBackbone', model_name='resnet18'), block='timm_model.layer4.1')
)
