# table 1, no kaizen loss, two iterations
_base_ = 'kaizen_mnist_k2.py'
model = dict(head=dict(loss=dict(kaizen_weight=0.0)))
