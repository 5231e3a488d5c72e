# clips of 60 frames in a row, of 58 px
_base_ = 'ucf101.py'


def sized(pipeline):
    sizes = {(-1, 256): (-1, 68), (224, 224): (58, 58)}
    steps = [dict(step, clip_len=60, frame_interval=1) if 'clip_len' in step else step for step in pipeline]
    steps = [dict(step, scale=sizes[tuple(step['scale'])]) if 'scale' in step else step for step in steps]
    steps = [dict(step, crop_size=58) if 'crop_size' in step else step for step in steps]
    return [dict(step, transforms=sized(step['transforms'])) if 'transforms' in step else step for step in steps]


train_pipeline = sized(_base_.train_pipeline)
val_pipeline = sized(_base_.val_pipeline)
test_pipeline = sized(_base_.test_pipeline)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
del sized
