# the four files of the original distribution, packed or not
data_root = '{{$KAIZEN_DATA:data}}/mnist'

# of single images, for mmpretrain's tools and for files of one's own; batches of the data set itself do without
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(28, 28)),
    # inferencers load in colour; of gray images one channel is as good as the others, and exact
    dict(type='RandomGrayscale', prob=1.0, channel_weights=(0.0, 1.0, 0.0)),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=512,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='keep_batch'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='MnistInMemory', data_root=data_root, split='train', pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=1000,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='keep_batch'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MnistInMemory', data_root=data_root, split='test', pipeline=pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IterateAccuracy', topk=(1,))
test_evaluator = dict(type='IterateAccuracy', topk=(1,))
