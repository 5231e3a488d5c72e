# when it helps: a static network of as many multiply-adds as the recurrent one of half the width (6.60 M; that has 6.54
# M)
_base_ = 'resnet8_half_cifar10.py'
model = dict(backbone=dict(backbone=dict(widths=(11, 24, 48))))
