# what kaizen_mm.data.moving_digits.MovingDigits writes; a flip or a crop would change the motion, so there is none
_base_ = 'video_list.py'

train_pipeline = [
    dict(type='VideoInit', reader=_base_.video_reader),
    dict(type='SampleFrames', clip_len=16, frame_interval=1, num_clips=1),
    dict(type='DecordDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='VideoInit', reader=_base_.video_reader),
    dict(type='SampleTestClips', clip_len=16, num_clips=1, positions='even'),
    *train_pipeline[2:],
]
test_pipeline = [
    dict(type='VideoInit', reader=_base_.video_reader),
    dict(type='SampleTestClips', clip_len=16, num_clips=10, positions='random', seed=0),
    dict(type='OnDistinctFrames', transforms=train_pipeline[2:-2]),
    *train_pipeline[-2:],
]

train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(batch_size=4, dataset=dict(pipeline=test_pipeline))
