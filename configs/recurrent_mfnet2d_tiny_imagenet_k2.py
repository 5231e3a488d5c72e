# no kaizen loss, two iterations
_base_ = 'kaizen_mfnet2d_tiny_imagenet_k2.py'
model = dict(head=dict(loss=dict(kaizen_weight=0.0)))
