# phase one of the choices, 20 epochs: the last 10,000 training images are held out, the test images are not seen
_base_ = 'mnist.py'
train_dataloader = dict(dataset=dict(split='fit'))
val_dataloader = dict(dataset=dict(split='val'))
test_dataloader = dict(dataset=dict(split='val'))
train_cfg = dict(max_epochs=20, val_interval=20)
