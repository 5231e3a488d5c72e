# when it helps: a static network of as many parameters as the recurrent one of half the width (33,703; that has 33,730)
_base_ = 'resnet8_half_cifar10.py'
model = dict(backbone=dict(backbone=dict(widths=(10, 21, 42))))
