# the CIFAR-10 ResNet-20 that the paper's authors released, with its settings: no loss but that of the
# last iterate, norm statistics shared by the iterates, SGD, h at 20 times the rate of the rest. In it the
# recurrence changes next to nothing (docs/any_network.md). tools/convert_checkpoint.py reads its weights.
_base_ = ['mmpretrain::_base_/datasets/cifar10_bs16.py', '_base_/image_runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='CifarResNet', depth=20, drop_rate=0.3),
        input_shape=(3, 32, 32),
        block='layer3.2',
        dynamic='conv1',
        feedback='bn2',
        num_iterations=2,
        norm_statistics='shared',
        alpha=1e-4,
        pool_kernel=5,
        pool_stride=2,
        pool_padding=2,
        row_layout='concatenated',
        bias=True,
        bound='tanh',
    ),
    head=dict(
        type='AdaptiveRecurrentClsHead',
        head=dict(type='ClsHead'),
        loss=dict(type='KaizenLoss', gamma_first=0.0, gamma_others=0.0, kaizen_weight=0.0),
    ),
)

data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
train_dataloader = dict(
    batch_size=128, persistent_workers=False, dataset=dict(data_root='{{$KAIZEN_DATA:data}}/cifar10')
)
val_dataloader = dict(batch_size=128, dataset=dict(data_root='{{$KAIZEN_DATA:data}}/cifar10'))
test_dataloader = dict(batch_size=128, dataset=dict(data_root='{{$KAIZEN_DATA:data}}/cifar10'))
val_evaluator = dict(_delete_=True, type='IterateAccuracy')
test_evaluator = dict(_delete_=True, type='IterateAccuracy')

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(adapter=dict(lr_mult=20.0))),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[50, 100, 150], gamma=0.1)]
auto_scale_lr = dict(enable=False, base_batch_size=128)

custom_hooks = [dict(type='PhaseOneHook')]
phase_one = dict(
    model=dict(backbone=dict(num_iterations=1)),
    optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)),
)
