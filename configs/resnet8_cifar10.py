# when it helps: the static network
_base_ = [
    '_base_/models/resnet8.py',
    '_base_/datasets/cifar10.py',
    '_base_/schedules/cifar10.py',
    '_base_/image_runtime.py',
]
