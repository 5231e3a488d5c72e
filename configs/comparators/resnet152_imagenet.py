# table 4: ResNet-152
_base_ = ['../_base_/models/comparators/resnet152.py', '../_base_/comparators_imagenet.py']
