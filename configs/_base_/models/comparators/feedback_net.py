# Feedback Network behind the first layers of a ResNet, four times as wide as on CIFAR-100; the loss is the sum of that
# of all iterates, as in its paper
_base_ = '../image_classifier.py'
model = dict(
    backbone=dict(type='FeedbackNet', stem='imagenet', widths=(64, 64, 128, 256, 256)),
    head=dict(head=dict(in_channels=256), loss=dict(gamma_first=1.0, gamma_others=1.0, kaizen_weight=0.0)),
)
