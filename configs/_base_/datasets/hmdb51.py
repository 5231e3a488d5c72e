_base_ = 'ucf101.py'

data_root = '{{$KAIZEN_DATA:data}}/hmdb51'

train_dataloader = dict(
    dataset=dict(
        ann_file=f'{data_root}/train_split1.txt', data_prefix=dict(video=f'{data_root}/videos'), num_classes=51
    )
)
val_dataloader = dict(
    dataset=dict(ann_file=f'{data_root}/test_split1.txt', data_prefix=dict(video=f'{data_root}/videos'), num_classes=51)
)
test_dataloader = dict(
    dataset=dict(ann_file=f'{data_root}/test_split1.txt', data_prefix=dict(video=f'{data_root}/videos'), num_classes=51)
)
