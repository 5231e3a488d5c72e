# when it helps: feedback from the end over all three stages, recurrent from the start, half as wide, on photos of 16 px
_base_ = 'resnet8_half_cifar10_16px.py'
model = dict(backbone=dict(num_iterations=2))
