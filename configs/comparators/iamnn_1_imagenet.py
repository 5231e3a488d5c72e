# table 4: IamNN, one iteration
_base_ = ['../_base_/models/comparators/iamnn_1.py', '../_base_/comparators_imagenet.py']
