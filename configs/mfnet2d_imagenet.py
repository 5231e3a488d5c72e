# table 4, baseline (phase one): MFNet-2D
_base_ = [
    '_base_/models/mfnet2d.py',
    '_base_/datasets/imagenet.py',
    '_base_/schedules/imagenet_phase_one.py',
    '_base_/image_runtime.py',
]
