# table 4: CORnet-S
_base_ = ['../_base_/models/comparators/cornet_s.py', '../_base_/comparators_imagenet.py']
