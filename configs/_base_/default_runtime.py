custom_imports = dict(imports=['kaizen_mm'], allow_failed_imports=False)
default_scope = 'mmaction'

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, ignore_last=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # the last epoch is the result: choosing one by its validation accuracy would be choosing on the
    # test split; three are kept so that a crash while writing one loses nothing
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    epoch_seed=dict(type='EpochSeedHook'),
    reading=dict(type='ReadingHook'),
    recurrence=dict(type='RecurrenceHook'),
    checkpoint_check=dict(type='CheckpointCheckHook'),
)

env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl')
)

runner_type = 'KaizenRunner'
log_processor = dict(type='IterateLogProcessor', window_size=20, by_epoch=True)
# visualizer.vis_backends.1.type=IterateTensorboardVisBackend or ...=IterateWandbVisBackend draws curves elsewhere
# (docs/watching.md)
vis_backends = [dict(type='LocalVisBackend'), dict(type='NoVisBackend')]
visualizer = dict(type='ActionVisualizer', vis_backends=vis_backends)

randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
