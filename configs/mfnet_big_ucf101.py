# table 2, "baseline-big"
_base_ = [
    '_base_/models/mfnet3d.py',
    '_base_/datasets/ucf101.py',
    '_base_/schedules/phase_one.py',
    '_base_/default_runtime.py',
]
