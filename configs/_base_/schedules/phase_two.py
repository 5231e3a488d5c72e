# Phase two, for the recurrent network and for the static control alike. The weights of h are felt
# through alpha = 1e-3 alone. AdamW, blind to the scale of the gradient, with a rate of its own for
# h makes it move; with SGD, or with the rate of the rest, the iterates stay identical
# (docs/training.md).
_base_ = 'phase_one.py'

# phase one is this config with these entries put over it
phase_one = dict(
    model=dict(backbone=dict(num_iterations=1)),
    train_cfg={{_base_.train_cfg}},
    optim_wrapper={{_base_.optim_wrapper}},
    param_scheduler={{_base_.param_scheduler}},
)

custom_hooks = [dict(type='PhaseOneHook')]

train_cfg = dict(max_epochs=60)
optim_wrapper = dict(
    optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=1000.0, decay_mult=0.0)))
)
