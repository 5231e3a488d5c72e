# not in the paper's tables: STC-ResNet-101
_base_ = ['stc_resnet101_ucf101.py', '../_base_/datasets/hmdb51_files.py']
model = dict(cls_head=dict(head=dict(num_classes=51)))
train_dataloader = dict(dataset=_base_.hmdb51.train)
val_dataloader = dict(dataset=_base_.hmdb51.test)
test_dataloader = dict(dataset=_base_.hmdb51.test)
