# nine units, 0.5 M parameters: the paper's baseline
_base_ = 'recognizer3d.py'
model = dict(backbone=dict(type='MFNet3d', variant='mfnet3d_n9'), cls_head=dict(head=dict(in_channels=192)))
