# 64 px give a feedback map of 2 x 2, smaller than the kernel of h: its pooling is padded
_base_ = 'mfnet2d_n9.py'
model = dict(backbone=dict(type='RecurrentMFNet2d', num_iterations=2, input_size=(64, 64), pool_padding=1))
