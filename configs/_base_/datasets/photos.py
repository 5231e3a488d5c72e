# photos of any size, one folder per class in train/ and in val/, seen at 224 px
_base_ = 'imagenet.py'
data_root = '{{$KAIZEN_IMAGE_ROOT:data/photos}}'
num_classes = int('{{$KAIZEN_IMAGE_CLASSES:20}}')
train_dataloader = dict(batch_size=16, dataset=dict(data_root=data_root, num_classes=num_classes))
val_dataloader = dict(batch_size=16, dataset=dict(data_root=data_root, num_classes=num_classes))
test_dataloader = val_dataloader
