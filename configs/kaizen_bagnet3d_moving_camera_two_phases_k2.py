# when it helps: the network of small receptive field in two phases of the same length; W_1 trains along
_base_ = 'bagnet3d_moving_camera.py'

# phase one is this config with these entries put over it
phase_one = dict(
    model=dict(backbone=dict(num_iterations=1)),
    train_cfg={{_base_.train_cfg}},
    optim_wrapper={{_base_.optim_wrapper}},
    param_scheduler={{_base_.param_scheduler}},
)

custom_hooks = [dict(type='PhaseOneHook')]

model = dict(backbone=dict(num_iterations=2))
