# when it helps: feedback from the end over all three stages, recurrent from the start, half as wide
_base_ = 'resnet8_half_cifar10.py'
model = dict(backbone=dict(num_iterations=2))
