# the sheets of KAIZEN_DATA/cifar10: 30,000 photos to train on, 10,000 for choices (val), 11,000 for the result (test)
data_root = '{{$KAIZEN_DATA:data}}/cifar10'

train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='keep_batch'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CifarInMemory', data_root=data_root, split='train', augment=True),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='keep_batch'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CifarInMemory', data_root=data_root, split='val'),
)
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='keep_batch'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CifarInMemory', data_root=data_root, split='test'),
)

val_evaluator = dict(type='IterateAccuracy', topk=(1,))
test_evaluator = dict(type='IterateAccuracy', topk=(1,))
