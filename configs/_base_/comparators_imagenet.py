# ImageNet as MFNet-2D's phase one is trained on it
_base_ = ['datasets/imagenet.py', 'schedules/imagenet_phase_one.py', 'image_runtime.py']
