# table 4: ResNet-18
_base_ = ['../_base_/models/comparators/resnet18.py', '../_base_/comparators_imagenet.py']
