# when it helps: a network of patches whose global feedback rewrites the convolutions of points, from the start
_base_ = 'bagnet_cifar10.py'
model = dict(backbone=dict(num_iterations=2))
