# the static control: phase one trained on for phase two's epochs, with its data and schedule
_base_ = 'kaizen_bagnet3d_moving_camera_two_phases_k2.py'
model = dict(backbone=dict(num_iterations=1))
