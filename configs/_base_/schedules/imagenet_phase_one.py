# 8 GPUs x 128 images in mixed precision:
#     tools/dist_train.sh CONFIG 8 --amp --auto-scale-lr
# AdamW, so that phase two can give h the same optimizer; a small network wants little augmentation
# and little weight decay.
_base_ = 'phase_one.py'
train_cfg = dict(max_epochs=100, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=0.02), clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, begin=5, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=1024)
