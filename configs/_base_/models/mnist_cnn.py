# 880 parameters; the backbone ends in the classifier
model = dict(
    type='ImageClassifier',
    backbone=dict(type='MnistCNN'),
    head=dict(type='AdaptiveRecurrentClsHead', head=dict(type='ClsHead'), loss=dict(type='KaizenLoss')),
    # mean and standard deviation of the training images
    data_preprocessor=dict(type='ClsDataPreprocessor', mean=[33.318], std=[78.567]),
)
