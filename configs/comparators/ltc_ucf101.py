# table 2: LTC, 60 frames
_base_ = [
    '../_base_/models/comparators/ltc.py',
    '../_base_/datasets/ucf101_60x58px.py',
    '../_base_/schedules/phase_one.py',
    '../_base_/default_runtime.py',
]
