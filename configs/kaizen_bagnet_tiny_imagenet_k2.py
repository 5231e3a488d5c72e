# when it helps: the same network, whose feedback from the whole photo rewrites its blocks, recurrent from the start
_base_ = 'bagnet_tiny_imagenet.py'
model = dict(backbone=dict(num_iterations=2))
optim_wrapper = dict(optimizer=dict(lr=0.2))  # as on CIFAR-10
