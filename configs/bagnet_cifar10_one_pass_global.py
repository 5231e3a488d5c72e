# when it helps: the static network with the global adapter in one pass, which reads each layer's own input
_base_ = 'bagnet_cifar10_one_pass.py'
model = dict(backbone=dict(adapter='global', hidden=4, rank=1, pool_kernel=None, pool_stride=1, alpha=None))
optim_wrapper = dict(optimizer=dict(lr=0.2))  # better than 0.1 on the photos for choices
