# table 1, no kaizen loss, four iterations
_base_ = 'kaizen_mnist_k4.py'
model = dict(head=dict(loss=dict(kaizen_weight=0.0)))
