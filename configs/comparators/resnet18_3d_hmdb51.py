# table 3: 3D-ResNet-18 (Hara et al.)
_base_ = ['resnet18_3d_ucf101.py', '../_base_/datasets/hmdb51_files.py']
model = dict(cls_head=dict(head=dict(num_classes=51)))
train_dataloader = dict(dataset=_base_.hmdb51.train)
val_dataloader = dict(dataset=_base_.hmdb51.test)
test_dataloader = dict(dataset=_base_.hmdb51.test)
