# table 4: SqueezeNet
_base_ = ['../_base_/models/comparators/squeezenet.py', '../_base_/comparators_imagenet.py']
