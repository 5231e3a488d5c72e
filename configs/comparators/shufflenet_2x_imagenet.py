# table 4: ShuffleNet 2x
_base_ = ['../_base_/models/comparators/shufflenet_2x.py', '../_base_/comparators_imagenet.py']
