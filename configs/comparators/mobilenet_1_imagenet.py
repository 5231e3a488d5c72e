# table 4: MobileNet-1
_base_ = ['../_base_/models/comparators/mobilenet_1.py', '../_base_/comparators_imagenet.py']
