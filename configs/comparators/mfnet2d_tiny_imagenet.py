# phase one of MFNet-2D of nine units, a quarter as wide, on 20 classes of Tiny ImageNet at 32 px
_base_ = [
    '../_base_/models/mfnet2d_n9.py',
    '../_base_/datasets/tiny_imagenet_32px.py',
    '../_base_/schedules/comparison_phase_one.py',
    '../_base_/image_runtime.py',
]
model = dict(head=dict(head=dict(num_classes={{_base_.num_classes}})))
