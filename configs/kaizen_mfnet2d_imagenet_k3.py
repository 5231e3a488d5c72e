# table 4, "our full method", three iterations
_base_ = 'kaizen_mfnet2d_imagenet_k2.py'
model = dict(backbone=dict(num_iterations=3))
