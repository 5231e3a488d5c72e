# table 4: ShaResNet-34
_base_ = ['../_base_/models/comparators/sharesnet34.py', '../_base_/comparators_imagenet.py']
