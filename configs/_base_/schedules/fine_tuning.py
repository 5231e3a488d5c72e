# Phase two from published weights, in place of a stock config's own schedule: AdamW, with a rate of
# its own for h, without which the iterates stay identical (docs/training.md). The rates are not tuned.
# A config takes all entries of fine_tuning over with globals().update(_base_.fine_tuning).
custom_imports = dict(imports=['kaizen_mm'], allow_failed_imports=False)
runner_type = 'KaizenRunner'

fine_tuning = dict(
    train_cfg=dict(max_epochs=10),
    optim_wrapper=dict(
        _delete_=True,
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
        paramwise_cfg=dict(
            norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys=dict(adapter=dict(lr_mult=1000.0, decay_mult=0.0))
        ),
        clip_grad=dict(max_norm=40),
    ),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
        dict(type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True),
    ],
    log_processor=dict(type='IterateLogProcessor', window_size=20, by_epoch=True),
    custom_hooks=[
        dict(type='EpochSeedHook'),
        dict(type='ReadingHook'),
        dict(type='RecurrenceHook'),
        dict(type='CheckpointCheckHook'),
    ],
    val_evaluator=dict(type='IterateAccuracy'),
    test_evaluator=dict(type='IterateAccuracy'),
)
