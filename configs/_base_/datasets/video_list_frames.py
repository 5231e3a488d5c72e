# single frames for 2D recognizers: one of each third of a video in training, 25 in the test
_base_ = 'video_list.py'


def frames(pipeline, num_clips):
    steps = [
        dict(step, clip_len=1, frame_interval=1, num_clips=num_clips) if 'clip_len' in step else step
        for step in pipeline
    ]
    return [dict(step, input_format='NCHW') if step['type'] == 'FormatShape' else step for step in steps]


train_pipeline = frames(_base_.train_pipeline, 3)
val_pipeline = frames(_base_.val_pipeline, 3)
test_pipeline = frames(_base_.test_pipeline, 25)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
del frames
