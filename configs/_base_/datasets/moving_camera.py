# moving digits of 32 px seen by a camera that moves as fast as they do; drawn in memory. The choices are made on val;
# the clips of test, of another seed, are for the result
digits = dict(
    type='MovingDigitsInMemory',
    camera=1.0,
    clutter=1.0,
    distractor=0.0,
    size=32,
    num_frames=16,
    num_train=4000,
    num_val=4000,
)

# of files, for predictions; decord, pyav or torchcodec
video_reader = '{{$KAIZEN_VIDEO_READER:decord}}'
test_pipeline = [
    dict(type='VideoInit', reader=video_reader),
    dict(type='SampleTestClips', clip_len=16, num_clips=1, positions='even'),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(32, 32), keep_ratio=False),
    dict(type='OneChannel'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(split='train', **digits),
)
val_dataloader = dict(
    batch_size=250,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', **digits),
)
test_dataloader = dict(
    batch_size=250,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', seed=1, **digits),
)

val_evaluator = dict(type='IterateAccuracy', topk=(1,))
test_evaluator = dict(type='IterateAccuracy', topk=(1,))
