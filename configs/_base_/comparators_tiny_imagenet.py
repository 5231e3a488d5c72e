# 20 classes of Tiny ImageNet at 32 px, as many epochs as the two phases of MFNet-2D together
_base_ = ['datasets/tiny_imagenet_32px.py', 'schedules/comparison.py', 'image_runtime.py']
small_head = dict(num_classes={{_base_.num_classes}}, loss=dict(_delete_=True, type='CrossEntropyLoss'))
