# table 4: IamNN
_base_ = ['../_base_/models/comparators/iamnn.py', '../_base_/comparators_imagenet.py']
