# CORnet-S, trained as in its paper: the loss is that of the last iterate alone
_base_ = '../image_classifier.py'
model = dict(
    backbone=dict(type='CORnetS'),
    head=dict(head=dict(in_channels=512), loss=dict(gamma_first=0.0, gamma_others=0.0, kaizen_weight=0.0)),
)
