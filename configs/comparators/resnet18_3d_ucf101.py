# table 2: 3D-ResNet-18 (Hara et al.)
_base_ = [
    '../_base_/models/comparators/resnet18_3d.py',
    '../_base_/datasets/ucf101_112px.py',
    '../_base_/schedules/phase_one.py',
    '../_base_/default_runtime.py',
]
