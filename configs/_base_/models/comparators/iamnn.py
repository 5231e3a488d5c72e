# IamNN with halting; the ponder cost is added to the loss of the last iterate. The weight of the ponder cost is not
# tuned.
_base_ = '../image_classifier.py'
model = dict(
    type='PonderingClassifier',
    ponder_weight=1e-3,
    backbone=dict(type='IamNN'),
    head=dict(head=dict(in_channels=2048), loss=dict(gamma_first=0.0, gamma_others=0.0, kaizen_weight=0.0)),
)
