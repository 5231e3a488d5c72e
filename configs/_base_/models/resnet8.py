# ResNet-8 for 32 px, 78,042 parameters. With more than one iteration its three stages are one recurrent block: h reads
# what the last one gives and rewrites all six 3x3 convolutions
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='AdaptiveRecurrentBackbone',
        backbone=dict(type='CifarResNet', depth=8, shortcut='B', channels_last=True),
        block=['layer1', 'layer2', 'layer3'],
        dynamic=[f'layer{stage}.0.conv{conv}' for stage in (1, 2, 3) for conv in (1, 2)],
        adapter='global',
        freeze_dynamic=False,
        num_iterations=1,
    ),
    head=dict(type='AdaptiveRecurrentClsHead', head=dict(type='ClsHead'), loss=dict(type='KaizenLoss')),
    data_preprocessor=dict(type='ClsDataPreprocessor', mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7]),
)
