# phase two has the third epoch, for the recurrent network and for the static control alike; the rate of h is 0.1
_base_ = 'comparison_phase_one.py'

# phase one is this config with these entries put over it
phase_one = dict(
    model=dict(backbone=dict(num_iterations=1)),
    train_cfg={{_base_.train_cfg}},
    optim_wrapper={{_base_.optim_wrapper}},
    param_scheduler={{_base_.param_scheduler}},
)

custom_hooks = [dict(type='PhaseOneHook')]

train_cfg = dict(max_epochs=1, val_interval=1)
optim_wrapper = dict(
    optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=200.0, decay_mult=0.0)))
)
