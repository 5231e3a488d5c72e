# 16 units, 7.8 M parameters: the paper's "baseline-big"
_base_ = 'mfnet3d_n9.py'
model = dict(backbone=dict(variant='mfnet3d'), cls_head=dict(head=dict(in_channels=768)))
