# when it helps: a static network of as many multiply-adds as the recurrent one (25.6 M; that has 25.2 M)
_base_ = 'resnet8_cifar10.py'
model = dict(backbone=dict(backbone=dict(widths=(23, 46, 92))))
