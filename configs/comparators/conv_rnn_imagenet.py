# table 4: ConvRNN
_base_ = ['../_base_/models/comparators/conv_rnn.py', '../_base_/comparators_imagenet.py']
