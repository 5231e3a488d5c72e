# when it helps: feedback as scale and shift of the norms (FiLM) in place of weights, recurrent from the start
_base_ = 'kaizen_bagnet_cifar10_k2.py'
model = dict(
    backbone=dict(
        backbone=dict(modulated=True),
        dynamic=[f'block{block}.affine{affine}.conv' for block in (1, 2) for affine in (1, 2)],
        hidden=3,
        rank=2,
    )
)
