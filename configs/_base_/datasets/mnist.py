# the four files of the original distribution, packed or not
data_root = '{{$KAIZEN_DATA:data}}/mnist'

train_dataloader = dict(
    batch_size=512,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='keep_batch'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='MnistInMemory', data_root=data_root, split='train'))
val_dataloader = dict(
    batch_size=1000,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='keep_batch'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MnistInMemory', data_root=data_root, split='test'))
test_dataloader = val_dataloader

val_evaluator = dict(type='IterateAccuracy', topk=(1, ))
test_evaluator = dict(type='IterateAccuracy', topk=(1, ))
