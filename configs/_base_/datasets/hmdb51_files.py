# what HMDB51 has in place of UCF101's files, for configs that inherit from one of UCF101
_hmdb51_root = '{{$KAIZEN_DATA:data}}/hmdb51'
hmdb51 = dict(
    train=dict(
        ann_file=f'{_hmdb51_root}/train_split1.txt', data_prefix=dict(video=f'{_hmdb51_root}/videos'), num_classes=51
    ),
    test=dict(
        ann_file=f'{_hmdb51_root}/test_split1.txt', data_prefix=dict(video=f'{_hmdb51_root}/videos'), num_classes=51
    ),
)
