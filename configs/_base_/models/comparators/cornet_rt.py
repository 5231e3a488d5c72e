# CORnet-RT, the loss being that of the last iterate alone
_base_ = '../image_classifier.py'
model = dict(
    backbone=dict(type='CORnetRT'),
    head=dict(head=dict(in_channels=512), loss=dict(gamma_first=0.0, gamma_others=0.0, kaizen_weight=0.0)),
)
