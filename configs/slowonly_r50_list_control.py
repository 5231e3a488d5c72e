# the static control: phase one trained on for phase two's epochs, with its data and schedule
_base_ = 'kaizen_slowonly_r50_list.py'
model = dict(backbone=dict(num_iterations=1))
