# table 3, "our full method", two iterations; trains phase one first
_base_ = [
    '_base_/models/kaizen_mfnet3d_n9.py',
    '_base_/datasets/hmdb51.py',
    '_base_/schedules/phase_two.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(head=dict(num_classes=51)))
