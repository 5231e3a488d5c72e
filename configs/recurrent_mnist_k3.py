# table 1, no kaizen loss, three iterations
_base_ = 'kaizen_mnist_k3.py'
model = dict(head=dict(loss=dict(kaizen_weight=0.0)))
