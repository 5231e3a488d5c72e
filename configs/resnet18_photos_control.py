# the static control: phase one trained on for phase two's epochs, with its data and schedule
_base_ = 'kaizen_resnet18_photos_k2.py'
model = dict(backbone=dict(num_iterations=1))
