# phase one of the paper's method: the baseline of table 3
_base_ = [
    '_base_/models/mfnet3d_n9.py',
    '_base_/datasets/hmdb51.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes=51)))
