# not in the paper's tables: CORnet-RT
_base_ = ['../_base_/models/comparators/cornet_rt.py', '../_base_/comparators_imagenet.py']
