# clips of 4 frames, every eighth one
_base_ = 'video_list.py'


def sampled(pipeline):
    return [dict(step, clip_len=4, frame_interval=8) if 'clip_len' in step else step for step in pipeline]


train_pipeline = sampled(_base_.train_pipeline)
val_pipeline = sampled(_base_.val_pipeline)
test_pipeline = sampled(_base_.test_pipeline)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
del sampled
