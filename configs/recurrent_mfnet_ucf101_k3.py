# table 2, "no kaizen loss", three iterations
_base_ = 'recurrent_mfnet_ucf101_k2.py'
model = dict(backbone=dict(num_iterations=3))
