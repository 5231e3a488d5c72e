# table 3, "baseline-big"
_base_ = [
    '_base_/models/mfnet3d.py',
    '_base_/datasets/hmdb51.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes=51)))
