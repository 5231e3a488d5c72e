# when it helps: a static network of as many parameters as the recurrent one (121,390; that has 120,986)
_base_ = 'resnet8_cifar10.py'
model = dict(backbone=dict(backbone=dict(widths=(20, 40, 80))))
