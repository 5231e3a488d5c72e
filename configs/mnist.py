# table 1, baseline (phase one)
_base_ = [
    '_base_/models/mnist_cnn.py',
    '_base_/datasets/mnist.py',
    '_base_/schedules/mnist_phase_one.py',
    '_base_/image_runtime.py',
]
