# for the recurrent network and for the static control alike; h has 10 times the rate of the rest
_base_ = 'mnist_phase_one.py'

# phase one is this config with these entries put over it
phase_one = dict(
    model=dict(backbone=dict(num_iterations=1)),
    train_cfg={{_base_.train_cfg}},
    optim_wrapper={{_base_.optim_wrapper}},
    param_scheduler={{_base_.param_scheduler}},
)

train_cfg = dict(max_epochs=20, val_interval=20)

custom_hooks = [dict(type='PhaseOneHook')]

optim_wrapper = dict(optimizer=dict(lr=6e-3), paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=10.0))))
