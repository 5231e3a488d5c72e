# table 4, "our full method", two iterations; trains phase one first
_base_ = [
    '_base_/models/kaizen_mfnet2d.py',
    '_base_/datasets/imagenet.py',
    '_base_/schedules/imagenet_phase_two.py',
    '_base_/image_runtime.py',
]
