# not in the paper's tables: Feedback Network
_base_ = ['../_base_/models/comparators/feedback_net.py', '../_base_/comparators_imagenet.py']
