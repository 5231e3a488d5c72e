# nine units, a quarter as wide, for images of 64 px
_base_ = 'mfnet2d.py'
model = dict(
    backbone=dict(variant='mfnet2d_n9', channels_last=True),
    head=dict(head=dict(in_channels=192, num_classes=20, loss=dict(_delete_=True, type='CrossEntropyLoss'))),
)
