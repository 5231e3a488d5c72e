# table 2: Res3D
_base_ = [
    '../_base_/models/comparators/res3d.py',
    '../_base_/datasets/ucf101_112px.py',
    '../_base_/schedules/phase_one.py',
    '../_base_/default_runtime.py',
]
