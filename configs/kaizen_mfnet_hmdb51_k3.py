# table 3, "our full method", three iterations
_base_ = 'kaizen_mfnet_hmdb51.py'
model = dict(backbone=dict(num_iterations=3))
