# phase one on 20 classes of Tiny ImageNet, or on any folder of small images
_base_ = [
    '_base_/models/mfnet2d_n9.py',
    '_base_/datasets/tiny_imagenet.py',
    '_base_/schedules/phase_one.py',
    '_base_/image_runtime.py',
]
model = dict(head=dict(head=dict(num_classes={{_base_.num_classes}})))
train_cfg = dict(max_epochs=30, val_interval=5)
auto_scale_lr = dict(base_batch_size=64)
