# our full method, three iterations; trains phase one first
_base_ = [
    '../_base_/models/kaizen_mfnet2d_n9.py',
    '../_base_/datasets/tiny_imagenet_32px.py',
    '../_base_/schedules/comparison_phase_two.py',
    '../_base_/image_runtime.py',
]
model = dict(
    backbone=dict(num_iterations=3, input_size=(32, 32)), head=dict(head=dict(num_classes={{_base_.num_classes}}))
)
