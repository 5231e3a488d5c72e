# CORnet-Z
_base_ = '../image_classifier.py'
model = dict(backbone=dict(type='CORnetZ'), head=dict(head=dict(in_channels=512)))
