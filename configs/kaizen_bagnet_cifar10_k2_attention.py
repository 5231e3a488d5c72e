# when it helps: the network with one self-attention, recurrent from the start with the paper's h
_base_ = 'kaizen_bagnet_cifar10_k2_paper.py'
model = dict(
    backbone=dict(
        backbone=dict(contexts=[None, dict(type='PositionAttention', channels=32, size=(8, 8), width=10)]),
    )
)
