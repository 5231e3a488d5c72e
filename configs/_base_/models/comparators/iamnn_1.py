# IamNN, one iteration
_base_ = '../image_classifier.py'
model = dict(backbone=dict(type='IamNN', num_iterations=1), head=dict(head=dict(in_channels=2048)))
