# table 2, "our full method", three iterations
_base_ = 'kaizen_mfnet_ucf101.py'
model = dict(backbone=dict(num_iterations=3))
