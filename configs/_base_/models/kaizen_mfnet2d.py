# the last unit is recurrent; gammas, kaizen_weight, alpha and the pooling of h are the paper's, which
# are the defaults
_base_ = 'mfnet2d.py'
model = dict(backbone=dict(type='RecurrentMFNet2d', num_iterations=2, input_size=(224, 224)))
