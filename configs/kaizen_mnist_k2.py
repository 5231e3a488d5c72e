# table 1, our full method, two iterations; trains phase one first
_base_ = [
    '_base_/models/mnist_cnn.py',
    '_base_/datasets/mnist.py',
    '_base_/schedules/mnist_phase_two.py',
    '_base_/image_runtime.py',
]
model = dict(backbone=dict(num_iterations=2))
