# table 2: STC-ResNet-101
_base_ = [
    '../_base_/models/comparators/stc_resnet101.py',
    '../_base_/datasets/ucf101_112px.py',
    '../_base_/schedules/phase_one.py',
    '../_base_/default_runtime.py',
]
