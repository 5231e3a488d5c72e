# ConvRNN with reciprocal gated cells; the loss is that of the last iterate alone
_base_ = '../image_classifier.py'
model = dict(
    backbone=dict(type='ConvRNN'),
    head=dict(head=dict(in_channels=512), loss=dict(gamma_first=0.0, gamma_others=0.0, kaizen_weight=0.0)),
)
