# a folder with videos/ and the lists train.txt and val.txt: "file label" lines, files relative to videos/
data_root = '{{$KAIZEN_LIST_ROOT:data/videos}}'
num_classes = int('{{$KAIZEN_LIST_CLASSES:2}}')
# decord, pyav or torchcodec
video_reader = '{{$KAIZEN_VIDEO_READER:decord}}'

train_pipeline = [
    dict(type='VideoInit', reader=video_reader),
    dict(type='SampleFrames', clip_len=16, frame_interval=2, num_clips=1),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 128)),
    dict(type='RandomResizedCrop', area_range=(0.5, 1.0)),
    dict(type='Resize', scale=(112, 112), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='VideoInit', reader=video_reader),
    dict(type='SampleTestClips', clip_len=16, frame_interval=2, num_clips=1, positions='even'),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 128)),
    dict(type='CenterCrop', crop_size=112),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    dict(type='VideoInit', reader=video_reader),
    dict(type='SampleTestClips', clip_len=16, frame_interval=2, num_clips=10, positions='random', seed=0),
    dict(type='OnDistinctFrames', transforms=val_pipeline[2:-2]),
    *val_pipeline[-2:],
]

train_dataloader = dict(
    batch_size=8,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='VideoListDataset',
        ann_file=f'{data_root}/train.txt',
        data_prefix=dict(video=f'{data_root}/videos'),
        num_classes=num_classes,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoListDataset',
        ann_file=f'{data_root}/val.txt',
        data_prefix=dict(video=f'{data_root}/videos'),
        num_classes=num_classes,
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoListDataset',
        ann_file=f'{data_root}/val.txt',
        data_prefix=dict(video=f'{data_root}/videos'),
        num_classes=num_classes,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

val_evaluator = dict(type='IterateAccuracy')
test_evaluator = dict(type='IterateAccuracy')
