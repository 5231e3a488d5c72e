# table 2, "no kaizen loss", two iterations
_base_ = 'kaizen_mfnet_ucf101.py'
model = dict(cls_head=dict(loss_cls=dict(kaizen_weight=0.0)))
