# when it helps: feedback from the end over all three stages in a phase two that is as long and as fast as phase one;
# W_1 trains along
_base_ = 'kaizen_resnet8_half_cifar10_k2.py'

# phase one is this config with these entries put over it
phase_one = dict(
    model=dict(backbone=dict(num_iterations=1)),
    train_cfg={{_base_.train_cfg}},
    optim_wrapper={{_base_.optim_wrapper}},
    param_scheduler={{_base_.param_scheduler}},
)

custom_hooks = [dict(type='PhaseOneHook')]
