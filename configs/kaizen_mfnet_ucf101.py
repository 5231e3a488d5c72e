# table 2, "our full method", two iterations; trains phase one first
_base_ = [
    '_base_/models/kaizen_mfnet3d_n9.py',
    '_base_/datasets/ucf101.py',
    '_base_/schedules/phase_two.py',
    '_base_/default_runtime.py',
]
