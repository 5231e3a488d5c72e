# table 4: GoogLeNet
_base_ = ['../_base_/models/comparators/googlenet.py', '../_base_/comparators_imagenet.py']
