# table 3, "no kaizen loss", three iterations
_base_ = 'recurrent_mfnet_hmdb51_k2.py'
model = dict(backbone=dict(num_iterations=3))
