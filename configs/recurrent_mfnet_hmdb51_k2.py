# table 3, "no kaizen loss", two iterations
_base_ = 'kaizen_mfnet_hmdb51.py'
model = dict(cls_head=dict(loss_cls=dict(kaizen_weight=0.0)))
