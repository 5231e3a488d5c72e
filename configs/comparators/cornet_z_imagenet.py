# not in the paper's tables: CORnet-Z
_base_ = ['../_base_/models/comparators/cornet_z.py', '../_base_/comparators_imagenet.py']
