# table 1, our full method, four iterations
_base_ = 'kaizen_mnist_k2.py'
model = dict(backbone=dict(num_iterations=4))
