# the static control: phase one trained on for phase two's epochs, with its data and schedule
_base_ = 'kaizen_mfnet2d_tiny_imagenet_k3.py'
model = dict(backbone=dict(num_iterations=1))
