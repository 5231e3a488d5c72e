# the last unit is recurrent; gammas, kaizen_weight, alpha and the pooling of h are the paper's, which
# are the defaults
_base_ = 'mfnet3d_n9.py'
model = dict(backbone=dict(type='RecurrentMFNet3d', num_iterations=2, input_size=(16, 224, 224)))
