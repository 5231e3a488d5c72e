# clips of 8 frames of 224 px, every eighth one, as networks trained on Kinetics take them
_base_ = 'video_list.py'


def sampled(pipeline):
    sizes = {(-1, 128): (-1, 256), (112, 112): (224, 224)}
    steps = [dict(step, clip_len=8, frame_interval=8) if 'clip_len' in step else step for step in pipeline]
    steps = [dict(step, scale=sizes[tuple(step['scale'])]) if 'scale' in step else step for step in steps]
    steps = [dict(step, crop_size=224) if 'crop_size' in step else step for step in steps]
    return [dict(step, transforms=sampled(step['transforms'])) if 'transforms' in step else step for step in steps]


train_pipeline = sampled(_base_.train_pipeline)
val_pipeline = sampled(_base_.val_pipeline)
test_pipeline = sampled(_base_.test_pipeline)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
del sampled
